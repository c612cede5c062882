use super::*;

#[test]
fn every_flag_and_command_is_in_every_script() {
    let (bash, zsh, fish) = (bash(), zsh(), fish());
    for flag in flags() {
        let name = flag.name;
        assert!(bash.contains(&format!("--{name}")) && zsh.contains(&format!("--{name}")), "{name}");
        assert!(fish.contains(&format!("-l {name}")), "{name}");
    }
    for command in &SUBCOMMANDS {
        let word = command.word;
        assert!(bash.contains(&format!("    '{word} '*) ")) && zsh.contains(&format!("'{word}:")), "{word}");
        assert!(fish.contains(&format!("__fish_use_subcommand' -f -a {word}")), "{word}");
    }
    assert!(fish.contains(r"-l remove-taint -d"), "{fish}");
}

#[test]
fn quotes_in_meanings_stay_within_their_words() {
    assert_eq!(quoted("the pod's"), r"'the pod'\''s'");
    assert_eq!(fish_quoted(r"the pod's \"), r"'the pod\'s \\'");
}

#[test]
fn other_shells_have_none() {
    assert_eq!(completion("tcsh"), None);
    assert!(completion("bash").is_some());
}
