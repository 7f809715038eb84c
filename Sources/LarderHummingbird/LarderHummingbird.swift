#if Hummingbird
    import Hummingbird
    import LarderClient
#endif
