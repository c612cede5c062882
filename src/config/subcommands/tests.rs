use super::*;

#[test]
fn a_slip_of_a_command_starts_no_agent() {
    let told = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        misnamed(&words).map(|error| error.to_string())
    };
    let slip = "failed to read the first word: no such command; did you mean `explain`?";
    let other = "failed to read the first word: no such command; `--help` lists what is allowed";
    for (words, wanted) in [
        (&["explian", "shop/web-1"][..], Some(slip)),
        (&["explains", "--json", "shop/web-1"], Some(slip)),
        (&["help"], None),
        (&["s3cret"], Some(other)),
        (&["s3cret", "--node=n"], None),
        (&["explain", "shop/web-1"], None),
        (&["--node", "status"], None),
        (&[], None),
        (&[""], None),
    ] {
        assert_eq!(told(words).as_deref(), wanted, "{words:?}");
    }
}
