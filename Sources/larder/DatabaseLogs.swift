import LarderServer

#if MariaDB
    import LarderMariaDB
#endif
#if PostgreSQL
    import LarderPostgreSQL
#endif
#if MariaDB || PostgreSQL
    import LarderReplication
#endif

/// The logs of replicated caches in databases, as far as the program was built with their traits.
enum DatabaseLogs {
    /// Lets `log=` name them. Call it before the options are read.
    static func register() {
        #if MariaDB
            for scheme in ["mariadb", "mysql"] {
                UpdateLogs.register(scheme: scheme) { url throws(ReplicationError) in try MariaDBLog(url: url) }
            }
        #endif
        #if PostgreSQL
            for scheme in ["postgresql", "postgres"] {
                UpdateLogs.register(scheme: scheme) { url throws(ReplicationError) in try PostgreSQLLog(url: url) }
            }
        #endif
    }
}
