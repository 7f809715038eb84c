#if GRDB
    import GRDB
    import LarderClient
#endif
