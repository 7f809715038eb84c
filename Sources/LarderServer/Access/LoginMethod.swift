/// How clients say who they are, before anything else is answered.
enum LoginMethod {
    /// They need not.
    case none
    /// `-Y`: by a `set` whose value is a name and a password.
    case text
    /// `-S`: by SASL, over the binary protocol.
    case sasl
}
