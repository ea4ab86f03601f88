"""What the drop-in serves as the packages ``common`` and ``dataset``.

The modules are loaded under the names that programs import them by (``common.layers``), so that pickles name them so.
"""
