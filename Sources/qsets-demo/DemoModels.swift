#if GRDB
    import GRDB
    import LarderClient

    /// What the example's two models have in common.
    protocol NamedModel: CacheableModel, FetchableRecord, PersistableRecord, CustomStringConvertible
    where ID == Int {
        var name: String { get }
    }

    extension NamedModel {
        /// As the example prints it, its slip of the pen included.
        var description: String { "\(Self.cacheName) id=\(id) mame=\(name)" }
    }

    struct User: NamedModel {
        var id: Int
        var name: String
    }

    struct Team: NamedModel {
        var id: Int
        var name: String
    }
#endif
