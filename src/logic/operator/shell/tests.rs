use super::*;

#[test]
fn only_plain_words_are_unquoted() {
    for (word, quoted) in [
        ("kubectl", "kubectl"),
        ("--role=team/app", "--role=team/app"),
        ("", "''"),
        ("a b", "'a b'"),
        ("$(x)", "'$(x)'"),
        ("a'b", r"'a'\''b'"),
        ("~", "'~'"),
        ("*", "'*'"),
        ("\n", "'\n'"),
    ] {
        assert_eq!(quote(word), quoted);
    }
    assert_eq!(command_line(["echo", "a b", "c"]), "echo 'a b' c");
}
