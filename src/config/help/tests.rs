use super::*;

#[test]
fn help_names_every_flag_once_in_lines_that_fit() {
    let text = help(&flags());
    for flag in flags() {
        let line = format!("\n  {}\n", usage(&flag));
        assert_eq!(text.matches(&line).count(), 1, "{line}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
}

#[test]
fn help_names_every_subcommand_before_the_flags() {
    let text = help(&flags());
    let flags_begin = text.find("Kubernetes API:").unwrap();
    for command in &SUBCOMMANDS {
        assert!(text.find(&format!("\n  {}", command.word)).unwrap() < flags_begin, "{}", command.word);
    }
}

#[test]
fn help_says_defaults_and_hides_notes() {
    let text = help(&flags());
    assert!(text.contains("  --app-port=port\n        port that pods' requests are redirected to (default 8181)\n"));
    assert!(text.contains("(default {node}-{role})"));
    assert!(text.contains("(default: the app port)"));
    assert!(!text.contains("Differs") && !text.contains("New.") && !text.contains("(default false)"));
}

#[test]
fn the_table_has_a_row_for_every_flag() {
    let table = flag_table();
    assert_eq!(table.lines().count(), flags().len() + 2);
    // four cells; bars inside cells are escaped
    assert!(table.lines().all(|row| row.replace("\\|", "").matches('|').count() == 5), "{table}");
    assert!(table.contains("| `--metrics-port=port` | the app port | port of /metrics | kube2iam's default is 8181"));
    assert!(table.contains("| `--imds-v2=optional\\|required` | `optional` |"));
}
