//! Templates as users write them, with what docker prints.

use serde_json::json;

use super::*;

fn data() -> Value {
    json!({
        "Id": "abc", "Name": "/web",
        "State": {"Status": "running", "Running": true, "OOMKilled": false, "ExitCode": 0},
        "Config": {"Env": ["A=b", "C=d"], "Labels": {"com.x/y": "z"}, "Cmd": null},
        "NetworkSettings": {
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": null},
            "Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "n": {"IPAddress": "10.0.0.2"}}
        },
        "Mounts": []
    })
}

fn render(text: &str) -> String {
    Template::parse(text).and_then(|t| t.render(&data())).unwrap_or_else(|e| format!("! {e}"))
}

#[test]
fn usual_templates() {
    for (template, expected) in [
        ("{{.Id}}", "abc"),
        ("{{ .State.OOMKilled }}", "false"),
        ("{{.State.Status}} {{.State.Running}}", "running true"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "172.17.0.2 10.0.0.2 "),
        (r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#, "8080"),
        (r#"{{index .Config.Labels "com.x/y"}}"#, "z"),
        (r#"{{index .Config.Labels "none"}}"#, ""),
        (
            "{{json .State}}",
            r#"{"Status":"running","Running":true,"OOMKilled":false,"ExitCode":0}"#,
        ),
        ("{{.Config.Env}}", "[A=b C=d]"),
        ("{{.Config.Labels}}", "map[com.x/y:z]"),
        (r#"{{join .Config.Env ","}}"#, "A=b,C=d"),
        ("{{len .Config.Env}}", "2"),
        ("{{.Name | upper | printf \"%-6s|\"}}", "/WEB  |"),
        ("{{if eq .State.Status \"running\"}}up{{else}}down{{end}}", "up"),
        ("{{if .Mounts}}m{{else if .State.Running}}r{{else}}n{{end}}", "r"),
        (
            "{{range $k, $v := .NetworkSettings.Ports}}{{$k}}={{if $v}}{{(index $v 0).HostPort}}{{end}};{{end}}",
            "80/tcp=8080;81/tcp=;",
        ),
        ("{{range $i, $e := .Config.Env}}{{if $i}}, {{end}}{{$e}}{{end}}", "A=b, C=d"),
        ("{{range .Mounts}}x{{else}}none{{end}}", "none"),
        ("{{with .Config}}{{index .Env 1}}{{end}}", "C=d"),
        ("{{$x := .Id}}{{$x}}{{/* a comment */}}", "abc"),
        ("a {{- .Id -}} b", "aabcb"),
        ("{{println .Id}}", "abc\n"),
        ("{{printf \"%s-%d-%q\" .Id 7 \"x\"}}", "abc-7-\"x\""),
        ("{{and .State.Running .Id}} {{or .Mounts \"d\"}} {{not .Mounts}}", "abc d true"),
        ("{{$.Id}}{{range .Config.Env}}{{$.Id}}{{end}}", "abcabcabc"),
        ("{{slice .Id 0 2}}", "ab"),
        ("{{ \"}}\" }}", "}}"),
        ("{{gt (len .Config.Env) 1}}", "true"),
    ] {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn errors_are_gos() {
    assert_eq!(
        render("{{.NoSuch}}"),
        "! template parsing error: template: :1:2: executing \"\" at <.NoSuch>: map has no entry for key \"NoSuch\""
    );
    assert_eq!(
        render("{{.NetworkSettings.IPAddress}}"),
        "! template parsing error: template: :1:18: executing \"\" at <.NetworkSettings.IPAddress>: map has no entry for key \"IPAddress\""
    );
    for broken in [
        "{{",
        "{{.Id",
        "{{if .Id}}",
        "{{end}}",
        "{{}}",
        "{{.Id | }}",
        "{{(.Id}}",
        "{{nosuch .Id}}",
        "{{$y}}",
        "{{\"a}}",
    ] {
        assert!(
            render(broken).starts_with("! template parsing error"),
            "{broken}: {}",
            render(broken)
        );
    }
}
