use super::*;

fn check(format: LogFormat) -> String {
    let fields = [
        ("empty", FieldValue::Text("")),
        ("req.method", FieldValue::Text("GET")),
        ("req.path", FieldValue::Text("/a b\n\"")),
        ("req.remote", FieldValue::Address("10.0.0.255".parse().unwrap())),
        ("res.duration", FieldValue::Span(Duration::from_micros(250))),
        ("res.status", FieldValue::Whole(200)),
    ];
    let at = Wall::from_unix_seconds(1_795_412_524);
    let message = MessageText::Formatted(format_args!("GET {} `é\"", "/a\\"));
    String::from_utf8(LineParts { at, level: "info", message, fields: &fields }.render(format)).unwrap()
}

#[test]
fn text_lines_have_the_format_of_logrus() {
    assert_eq!(
        check(LogFormat::Text),
        "time=\"2026-11-23T05:42:04Z\" level=info msg=\"GET /a\\\\ `é\\\"\" req.method=GET req.path=\"/a b\\n\\\"\" req.remote=10.0.0.255 res.duration=0.25 res.status=200\n"
    );
}

fn value(format: LogFormat, value: FieldValue<'_>) -> String {
    let mut writer = LineWriter { line: Vec::new(), format };
    writer.value(value);
    String::from_utf8(writer.line).unwrap()
}

#[test]
fn values_are_written_in_each_format() {
    let span = |micros| FieldValue::Span(Duration::from_micros(micros));
    for (field, text, json) in [
        (FieldValue::Text("a-b.c_d/e@f^g+h9"), "a-b.c_d/e@f^g+h9", "\"a-b.c_d/e@f^g+h9\""),
        (FieldValue::Text("a b"), "\"a b\"", "\"a b\""),
        (FieldValue::Text("ü\u{7f}"), "\"ü\\u{7f}\"", "\"ü\\u007f\""),
        (FieldValue::Address("10.0.0.1".parse().unwrap()), "10.0.0.1", "\"10.0.0.1\""),
        (FieldValue::Address("fd00::1".parse().unwrap()), "\"fd00::1\"", "\"fd00::1\""),
        (FieldValue::Whole(i64::MIN), "-9223372036854775808", "-9223372036854775808"),
        (FieldValue::Whole(429), "429", "429"),
        (FieldValue::Number(0.25), "0.25", "0.25"),
        (FieldValue::Number(f64::NAN), "NaN", "null"),
        (span(0), "0", "0"),
        (span(7), "0.007", "0.007"),
        (span(1_500), "1.5", "1.5"),
        (span(2_000_000), "2000", "2000"),
    ] {
        let written = [LogFormat::Text, LogFormat::Json].map(|format| value(format, field));
        assert_eq!(written, [text, json], "{field:?}");
    }
    for micros in 0..20_000_u32 {
        let millis = value(LogFormat::Text, span(micros.into()));
        assert_eq!(millis, (f64::from(micros) / 1e3).to_string());
    }
}

#[test]
fn a_requests_message_equals_the_formatted_one() {
    for target in ["/latest/", "/a b?\"\\\n", "/ü"] {
        for format in [LogFormat::Text, LogFormat::Json] {
            let written = |message| {
                let mut writer = LineWriter { line: Vec::new(), format };
                writer.message(message);
                String::from_utf8(writer.line).unwrap()
            };
            let took = Duration::from_micros(1_250);
            let answered = written(MessageText::Answered { method: "GET", target, status: 404, took });
            assert_eq!(answered, written(MessageText::Formatted(format_args!("GET {target} (404) took 1.25 ms"))));
        }
    }
}

#[test]
fn a_text_needs_as_much_escaping_as_its_worst_byte() {
    for byte in 0..=u8::MAX {
        let text = char::from(byte).to_string();
        let bare = byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
        let strange = !byte.is_ascii() || format!("{text:?}") != format!("\"{text}\"");
        assert_eq!(
            (escaping_of(&text) == Escaping::Bare, escaping_of(&text) == Escaping::Strange),
            (bare, strange),
            "{text:?}"
        );
        assert_eq!(escaping_of(&format!("a{text}a")), escaping_of(&text));
    }
}

#[test]
fn json_lines_are_one_object() {
    let line = check(LogFormat::Json);
    assert_eq!(line.matches('\n').count(), 1);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["msg"], &object["req.path"]), (&"GET /a\\ `é\"".into(), &"/a b\n\"".into()));
    assert_eq!((&object["res.duration"], object.get("empty")), (&0.25.into(), None));
    assert_eq!(object["time"], "2026-11-23T05:42:04Z");
}

/// A pod's path can contain any character, and programs often print a JSON line's text as it is.
#[test]
fn json_lines_escape_all_that_text_lines_escape() {
    let shown = |format, letter: char| value(format, FieldValue::Text(&format!("a{letter}a")));
    for letter in
        ['\u{7f}', '\u{85}', '\u{2028}', '\u{2029}', '\u{200e}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{e0001}']
    {
        assert!(shown(LogFormat::Json, letter).is_ascii(), "{letter:?}");
    }
    for letter in ('\0'..=char::MAX).step_by(3).chain('\0'..='\u{3000}') {
        let [text, json] = [LogFormat::Text, LogFormat::Json].map(|format| shown(format, letter));
        assert!(text.contains(letter) || !json.contains(letter) || letter.is_ascii_graphic(), "{letter:?} as {json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), format!("a{letter}a"));
    }
}
