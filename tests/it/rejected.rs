use serde_json::{Value, json};

use crate::support::{Annals, Home, await_some};

/// Returns the lines of `annals rejected`, once there are this many.
#[track_caller]
fn rejected(home: &Home, annals: &Annals, count: usize) -> Vec<Value> {
    await_some(&format!("{count} rejected events are recorded"), || {
        let shown = home.run(annals, &["rejected"]);
        assert_eq!(shown.exit, 0, "{}", shown.stderr);
        let lines: Vec<Value> = shown.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() == count).then_some(lines)
    })
}

/// Returns the lines about rejected events in the program's log.
fn reports(annals: &Annals) -> Vec<Value> {
    let log = annals.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"].as_str().is_some_and(|text| text.contains("rejected"))).collect()
}

#[test]
fn an_operator_finds_why_an_event_is_missing_after_a_restart_too() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let none = home.run(&annals, &["rejected"]);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str(), none.exit), ("", "no rejected events\n", 0));

    let logged = home.run(&annals, &["log", "--provider=load", "--action=walk", "--message=hello"]);
    assert_eq!(logged.exit, 3, "{}", logged.stderr);
    let expected = json!({"name": "admin", "realm": "api_key"});
    let check = |line: &Value| {
        assert_eq!((&line["caller"], &line["provider"], &line["action"]), (&expected, &json!("load"), &json!("walk")));
        assert_eq!(line["errors"][0]["path"], "event.action");
        let sent: Value = serde_json::from_str(line["event"].as_str().unwrap()).unwrap();
        assert_eq!(sent["message"], "hello");
    };
    check(&rejected(&home, &annals, 1)[0]);

    // In the log there is one line for all of the same.
    let wrong = vec![json!({"event": {"provider": "load", "action": "walk"}}); 200];
    for _ in 0..5 {
        annals.log_events(&json!(wrong)).expect(400);
    }
    annals.log_events(&json!({"event": {"provider": "absent\u{1b}[31m", "action": "run"}})).expect(400);
    let page = await_some("all are recorded", || {
        let page = home.run(&annals, &["rejected", "--format=json", "--limit=2"]);
        let page = serde_json::from_str::<Value>(&page.stdout).unwrap();
        (page["total"] == 1002).then_some(page)
    });
    assert_eq!((page["items"].as_array().unwrap().len(), &page["unrecorded"]), (2, &json!(0)));
    let lines = reports(&annals);
    let about: Vec<_> = lines.iter().map(|line| (&line["path"], &line["events"])).collect();
    assert_eq!(about, [(&json!("event.action"), &json!(1)), (&json!("event.provider"), &json!(1))], "{lines:?}");
    assert_eq!((&lines[0]["caller"], &lines[0]["provider"]), (&json!("api_key:admin"), &json!("load")));
    assert_eq!(annals.metric("annals_intake_rejected_total{provider=\"load\"}"), 1001.0);
    assert!(annals.stop().success());

    let annals = home.start();
    let page = home.run(&annals, &["rejected", "--from=1001", "--format=csv"]);
    let (heading, row) = page.stdout.trim_end().split_once('\n').unwrap();
    assert_eq!(heading.trim_end(), "time,caller,provider,action,path,expected,found");
    assert!(row.contains(",api_key:admin,load,walk,event.action,") && row.lines().count() == 1, "{row}");
    let page = home.run(&annals, &["rejected", "--format=table", "--limit=1"]);
    assert!(page.stdout.lines().nth(1).unwrap().contains("event.provider"), "{}", page.stdout);
    assert_eq!(page.stderr, "rejected events 1 to 1 of 1002; --from 1 shows the next\n");
    let oldest = home.run(&annals, &["rejected", "--from=1001"]);
    check(&serde_json::from_str(&oldest.stdout).unwrap());
}

#[test]
fn the_count_of_rejected_events_is_in_the_log_at_the_latest_when_the_program_stops() {
    let home = Home::new("[events]\nrejected_bytes = 0\n");
    let mut annals = home.start();
    annals.log_events(&json!(vec![json!({"x": 1}); 50])).expect(400);
    annals.signal(rustix::process::Signal::TERM);
    assert!(annals.await_end().success());
    let counts = await_some("the log is read to its end", || {
        let counts: Vec<_> = reports(&annals).iter().map(|line| line["events"].clone()).collect();
        (counts.len() == 2).then_some(counts)
    });
    assert_eq!(counts, [json!(1), json!(49)]);
    drop(annals);

    let annals = home.start();
    let shown = home.run(&annals, &["rejected"]);
    let expected = "no rejected events\nrejected events are not recorded: events.rejected_bytes is 0\n";
    assert_eq!((shown.stdout.as_str(), shown.stderr.as_str()), ("", expected));
    assert!(!home.data().join("rejected.ndjson").exists());
}
