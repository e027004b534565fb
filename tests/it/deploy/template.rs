//! `template.yaml` held to the code, and to rules of its own. That it is a template at all is `cfn-lint`'s to say.

use std::collections::{BTreeMap, BTreeSet};

use revtrail_storage::file::File;
use revtrail_store::TTL_ATTRIBUTE;
use revtrail_web::api::Route;
use serde_json::{Map, Value, json};

/// The functions, as the template names them, and as their crates.
pub const FUNCTIONS: [(&str, &str); 6] = [
    ("IngestEvent", "ingest-event"),
    ("IngestOrder", "ingest-order"),
    ("Manage", "manage"),
    ("ReportQuery", "report-query"),
    ("HourlyAttributor", "hourly-attributor"),
    ("RedemptionBatch", "redemption-batch"),
];

pub fn template() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");
    serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn resources(template: &Value) -> &Map<String, Value> {
    template["Resources"].as_object().unwrap()
}

fn of_type<'t>(template: &'t Value, kind: &str) -> BTreeMap<&'t str, &'t Value> {
    let found = resources(template)
        .iter()
        .filter(|(_, one)| one["Type"] == kind);
    found
        .map(|(name, one)| (name.as_str(), &one["Properties"]))
        .collect()
}

/// The table that the stack makes, or the one that is there already.
fn table_name() -> Value {
    json!({ "Fn::If": ["MakesTable", { "Ref": "Table" }, { "Ref": "ExistingTable" }] })
}

/// What a role may do, by the resource it may do it with.
pub fn actions(template: &Value, function: &str) -> BTreeMap<String, BTreeSet<String>> {
    let role = &template["Resources"][format!("{function}Role")]["Properties"];
    let mut may: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for policy in role["Policies"].as_array().unwrap() {
        for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
            let keys: BTreeSet<String> = statement.as_object().unwrap().keys().cloned().collect();
            assert_eq!(
                (keys, &statement["Effect"]),
                (set("Action Effect Resource"), &json!("Allow")),
                "{function}"
            );
            // The table that the stack makes, or the one that is there already.
            let either = &statement["Resource"]["Fn::If"];
            let resource = match either[0] == "MakesTable" {
                true => {
                    let existing = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${ExistingTable}";
                    assert_eq!(either[2], json!({ "Fn::Sub": existing }));
                    &either[1]
                }
                false => &statement["Resource"],
            };
            // A whole resource, or the part of the bucket that is named.
            let target = match resource["Fn::GetAtt"][0].as_str() {
                Some(target) => target,
                None => resource["Fn::Sub"].as_str().unwrap(),
            };
            let whole = json!({ "Fn::GetAtt": [target, "Arn"] });
            let parts = ["inbox", "outbox", "outbox/*/exports"];
            let parts = parts.map(|part| format!("${{Files.Arn}}/{part}/*"));
            assert!(
                *resource == whole || parts.iter().any(|part| part == target),
                "{function}: {resource}"
            );
            let named = statement["Action"]
                .as_array()
                .unwrap()
                .iter()
                .map(|action| action.as_str().unwrap().to_owned());
            may.entry(target.to_owned()).or_default().extend(named);
        }
    }
    may
}

fn set(words: &str) -> BTreeSet<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_routes_are_those_of_the_functions() {
    let template = template();
    let enqueue = manage::in_process(|_| {});
    let routes: [(&str, Vec<Route>); 4] = [
        ("IngestEvent", ingest_event::routes()),
        ("IngestOrder", ingest_order::routes()),
        ("Manage", manage::routes(enqueue)),
        ("ReportQuery", report_query::routes()),
    ];
    let api = &template["Resources"]["Api"]["Properties"];
    let body = &api["DefinitionBody"];
    let integrations = &body["components"]["x-amazon-apigateway-integrations"];
    let mut deployed: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for (path, methods) in body["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let to = operation["x-amazon-apigateway-integration"]["$ref"].as_str();
            let to = to.unwrap().rsplit_once('/').unwrap();
            assert_eq!(to.0, "#/components/x-amazon-apigateway-integrations");
            let route = (method.to_ascii_uppercase(), path.clone());
            assert!(deployed.entry(to.1.to_owned()).or_default().insert(route));
        }
    }
    // Whatever has no route goes to the function that knows all of them.
    let others = &body["paths"]["$default"]["x-amazon-apigateway-any-method"];
    assert_eq!(others["isDefaultRoute"], true);
    let any = ("X-AMAZON-APIGATEWAY-ANY-METHOD", "$default");
    let any = (any.0.to_owned(), any.1.to_owned());
    assert!(deployed.get_mut("Manage").unwrap().remove(&any));
    for (function, routes) in routes {
        let coded: BTreeSet<_> = routes
            .iter()
            .map(|route| (route.method().to_string(), route.path().to_owned()))
            .collect();
        assert_eq!(deployed.remove(function), Some(coded), "{function}");
        // What takes facts in is called by its alias, which moves to a new version step by step.
        let ingests = function.starts_with("Ingest");
        let (called, named) = match ingests {
            true => (format!("{function}Aliaslive"), format!("{function}.Alias")),
            false => (format!("{function}.Arn"), function.to_owned()),
        };
        let invoked = format!(
            "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{called}}}/invocations"
        );
        let rollout = &template["Resources"][function]["Properties"];
        let expected = match ingests {
            true => {
                json!({ "Type": "Canary10Percent5Minutes", "Alarms": [{ "Ref": format!("{function}ErrorsAlarm") }],
                "Role": { "Fn::GetAtt": ["RolloutRole", "Arn"] } })
            }
            false => Value::Null,
        };
        assert_eq!(rollout["DeploymentPreference"], expected, "{function}");
        assert_eq!(rollout["AutoPublishAlias"] == "live", ingests, "{function}");
        assert_eq!(
            integrations[function],
            json!({ "type": "aws_proxy", "httpMethod": "POST", "payloadFormatVersion": "2.0", "uri": { "Fn::Sub": invoked } })
        );
        // One permission, for every route of this API.
        let permission = &template["Resources"][format!("{function}Permission")]["Properties"];
        let api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*";
        assert_eq!(
            (&permission["FunctionName"], &permission["SourceArn"]),
            (&json!({ "Ref": named }), &json!({ "Fn::Sub": api }))
        );
    }
    assert!(deployed.is_empty(), "{deployed:?}");
    assert_eq!(of_type(&template, "AWS::Lambda::Permission").len(), 4);
    // A warning about what the gateway does not need is no reason to deploy nothing.
    assert_eq!(api["FailOnWarnings"], Value::Null);
}

/// Somebody hears of each alarm, and finds in the runbook what it means and what to do.
#[test]
fn every_alarm_has_a_paragraph_in_the_runbook() {
    let template = template();
    let runbook = include_str!("../../../infra/RUNBOOK.md");
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    let headings: BTreeSet<String> = headings.map(str::to_lowercase).collect();
    let (mut named, mut alarms) = (BTreeSet::new(), BTreeSet::new());
    for (name, alarm) in of_type(&template, "AWS::CloudWatch::Alarm") {
        let told = json!({ "Fn::If": ["HasAlarmTopic", [{ "Ref": "AlarmTopic" }], { "Ref": "AWS::NoValue" }] });
        assert_eq!(alarm["AlarmActions"], told, "{name}");
        let says = alarm["AlarmDescription"].as_str().unwrap();
        let (_, heading) = says.split_once(": infra/RUNBOOK.md, ").unwrap();
        assert!(headings.contains(heading), "{name}: {heading}");
        named.insert(heading.to_owned());
        alarms.insert(name.to_owned());
    }
    assert_eq!(named, headings, "a paragraph for no alarm");
    // What the functions tell is what alarms look at.
    let own = of_type(&template, "AWS::CloudWatch::Alarm").into_values();
    let own = own.filter(|alarm| alarm["Namespace"] == revtrail_aws::metrics::NAMESPACE);
    let own: BTreeSet<&str> = own
        .map(|alarm| alarm["MetricName"].as_str().unwrap())
        .collect();
    assert_eq!(own, ["differences", "figures_age", "parked"].into());
    // Where no tick comes at all, nothing is told of figures.
    let age = &template["Resources"]["FiguresAgeAlarm"]["Properties"];
    assert_eq!(age["TreatMissingData"], "breaching");
    for (function, _) in FUNCTIONS {
        let properties = &template["Resources"][function]["Properties"];
        let globals = &template["Globals"]["Function"]["Timeout"];
        let limit_s = properties["Timeout"].as_i64().or(globals.as_i64()).unwrap();
        let alarm = &template["Resources"][format!("{function}DurationAlarm")]["Properties"];
        let near_ms = alarm["Threshold"].as_i64().unwrap();
        assert!(near_ms < limit_s * 1_000, "{function}");
    }
}

/// The dashboard shows whatever an alarm looks at, of the same thing.
#[test]
fn the_dashboard_shows_what_the_alarms_look_at() {
    let template = template();
    let body = &template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
    assert_eq!(body[1], json!({ "Name": table_name() }));
    let body: Value = serde_json::from_str(body[0].as_str().unwrap()).unwrap();
    let mut shown: BTreeSet<Vec<String>> = BTreeSet::new();
    for widget in body["widgets"].as_array().unwrap() {
        for metric in widget["properties"]["metrics"].as_array().unwrap() {
            let words = metric.as_array().unwrap().iter();
            let words = words.filter_map(Value::as_str);
            shown.insert(words.map(str::to_owned).collect());
        }
    }
    let mut looked_at = 0;
    for (name, alarm) in of_type(&template, "AWS::CloudWatch::Alarm") {
        let parts = alarm["Metrics"].as_array();
        let parts = parts.into_iter().flatten();
        let parts = parts.map(|part| &part["MetricStat"]["Metric"]);
        for metric in parts
            .chain([alarm])
            .filter(|metric| !metric["MetricName"].is_null())
        {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let mut words = vec![text(&metric["Namespace"]), text(&metric["MetricName"])];
            for dimension in metric["Dimensions"].as_array().into_iter().flatten() {
                let (value, of) = (&dimension["Value"], text(&dimension["Name"]));
                let name = match *value == table_name() {
                    true => Some("Name"),
                    false => value["Ref"].as_str(),
                };
                let named = name.map(|of| format!("${{{of}}}"));
                let attribute = &value["Fn::GetAtt"];
                let attribute = || format!("${{{}.{}}}", text(&attribute[0]), text(&attribute[1]));
                words.extend([of, named.unwrap_or_else(attribute)]);
            }
            assert!(shown.contains(&words), "{name}: {words:?}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 30, "{looked_at}");
}

/// No key and no customer comes into the log of the API: the query and the headers may hold one, and the path the other.
#[test]
fn the_log_of_the_api_names_nobody() {
    let template = template();
    let log = &template["Resources"]["Api"]["Properties"]["AccessLogSettings"];
    let format = log["Format"].as_str().unwrap();
    let named = format.split("$context.").skip(1).map(|rest| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.';
        rest.split(|c| !is_name(c)).next().unwrap()
    });
    let named: BTreeSet<&str> = named.collect();
    let allowed = "requestId requestTime routeKey status responseLatency integrationLatency responseLength error.messageString integrationErrorMessage";
    assert_eq!(named, allowed.split(' ').collect());
    let line = named.iter().fold(format.to_owned(), |line, name| {
        line.replace(&format!("$context.{name}"), "7")
    });
    let line: Result<Value, _> = serde_json::from_str(&line);
    assert!(line.unwrap().is_object(), "{format}");
    let logs = &template["Resources"]["ApiLogs"]["Properties"];
    assert_eq!(logs["RetentionInDays"], json!({ "Ref": "LogDays" }));
}

/// Pages of other sites are let in where somebody names the site, and never with cookies.
#[test]
fn other_sites_are_shut_out_by_default() {
    let template = template();
    assert_eq!(template["Parameters"]["CorsOrigin"]["Default"], "");
    let body = &template["Resources"]["Api"]["Properties"]["DefinitionBody"];
    let cors = &body["x-amazon-apigateway-cors"]["Fn::If"];
    assert_eq!(
        (&cors[0], &cors[2]),
        (&json!("HasCors"), &json!({ "Ref": "AWS::NoValue" }))
    );
    assert_eq!(cors[1]["allowOrigins"], json!([{ "Ref": "CorsOrigin" }]));
    assert_eq!(cors[1]["allowCredentials"], Value::Null);
}

#[test]
fn the_functions_are_deployed_alike() {
    let template = template();
    let functions = of_type(&template, "AWS::Serverless::Function");
    let named: BTreeSet<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(functions.keys().copied().collect::<BTreeSet<_>>(), named);
    assert_eq!(
        template["Globals"]["Function"]["Architectures"],
        json!([{ "Ref": "Architecture" }])
    );
    let common = &template["Globals"]["Function"]["Environment"]["Variables"];
    assert_eq!(
        common,
        &json!({ "REVTRAIL_TABLE": table_name(), "REVTRAIL_RETENTION_DAYS": { "Ref": "RetentionDays" } })
    );
    for (name, package) in FUNCTIONS {
        let function = functions[name];
        // `sam build` builds it from a clone.
        let made = &template["Resources"][name]["Metadata"];
        assert_eq!(
            (&function["CodeUri"], made),
            (
                &json!("infra/"),
                &json!({ "BuildMethod": "makefile", "WorkingDirectory": "." })
            )
        );
        let rule = format!("\nbuild-{name}: FUNCTION = {package}\n");
        assert!(
            include_str!("../../../infra/Makefile").contains(&rule),
            "{rule}"
        );
        assert_eq!(
            function["Role"],
            json!({ "Fn::GetAtt": [format!("{name}Role"), "Arn"] })
        );
        assert_eq!(
            function["LoggingConfig"],
            json!({ "LogFormat": "JSON", "LogGroup": { "Ref": format!("{name}Logs") } })
        );
        assert_eq!(
            function["Policies"],
            Value::Null,
            "{name}: its role says what it may do"
        );
        let logs = &template["Resources"][format!("{name}Logs")];
        assert_eq!(
            logs["Properties"]["RetentionInDays"],
            json!({ "Ref": "LogDays" }),
            "{name}"
        );
        // What the code asks its environment for.
        let variables = function["Environment"]["Variables"].as_object().unwrap();
        let expected = match name {
            "Manage" => {
                "REVTRAIL_BUCKET REVTRAIL_KEY_CALLS_PER_SECOND REVTRAIL_QUEUE_URL REVTRAIL_SIGNING_KEY"
            }
            "HourlyAttributor" => "REVTRAIL_BUCKET REVTRAIL_QUEUE_URL",
            "RedemptionBatch" => "REVTRAIL_BUCKET REVTRAIL_FILE_MIB_MAX REVTRAIL_QUEUE_URL",
            _ => "REVTRAIL_KEY_CALLS_PER_SECOND REVTRAIL_SIGNING_KEY",
        };
        assert_eq!(
            variables.keys().cloned().collect::<BTreeSet<_>>(),
            set(expected),
            "{name}"
        );
        for metric in ["Errors", "Throttles"] {
            let alarm = &template["Resources"][format!("{name}{metric}Alarm")]["Properties"];
            assert_eq!(
                (&alarm["MetricName"], &alarm["Dimensions"][0]["Value"]),
                (&json!(metric), &json!({ "Ref": name }))
            );
        }
    }
}

#[test]
fn every_function_has_a_role_of_its_own_with_named_actions_on_named_resources() {
    let template = template();
    // And one that moves calls to a new version.
    assert_eq!(
        of_type(&template, "AWS::IAM::Role").len(),
        FUNCTIONS.len() + 1
    );
    assert_eq!(
        of_type(&template, "AWS::IAM::Policy").len()
            + of_type(&template, "AWS::IAM::ManagedPolicy").len(),
        0
    );
    for (name, _) in FUNCTIONS {
        let role = &template["Resources"][format!("{name}Role")]["Properties"];
        assert_eq!(role["ManagedPolicyArns"], Value::Null, "{name}");
        assert_eq!(
            role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"],
            json!({ "Service": "lambda.amazonaws.com" })
        );
        let text = role.to_string().replace("box/*/exports/*\"", "");
        let text = text.replace("box/*\"", "");
        assert!(!text.contains('*'), "{name}: {text}");
        let mut may = actions(&template, name);
        assert_eq!(
            may.remove(&format!("{name}Logs")),
            Some(set("logs:CreateLogStream logs:PutLogEvents")),
            "{name}"
        );
        // That these are the right ones is for `actions.rs` to say.
        assert!(
            may.remove("Table")
                .unwrap()
                .iter()
                .all(|action| action.starts_with("dynamodb:")),
            "{name}"
        );
        let rest: BTreeMap<String, BTreeSet<String>> = match name {
            "Manage" => [
                ("Work", "sqs:SendMessage"),
                ("${Files.Arn}/inbox/*", "s3:PutObject"),
            ]
            .map(|(to, words)| (to.to_owned(), set(words)))
            .into(),
            "HourlyAttributor" => [
                (
                    "Work",
                    "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage sqs:SendMessage",
                ),
                ("TicksDead", "sqs:SendMessage"),
                (
                    "${Files.Arn}/outbox/*/exports/*",
                    "s3:DeleteObject s3:PutObject",
                ),
            ]
            .map(|(to, words)| (to.to_owned(), set(words)))
            .into(),
            "RedemptionBatch" => [
                (
                    "Arrivals",
                    "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage sqs:SendMessage",
                ),
                ("Files", "s3:ListBucket"),
                ("${Files.Arn}/inbox/*", "s3:GetObject"),
                ("${Files.Arn}/outbox/*", "s3:PutObject"),
            ]
            .map(|(to, words)| (to.to_owned(), set(words)))
            .into(),
            _ => BTreeMap::new(),
        };
        assert_eq!(may, rest, "{name}");
    }
}

#[test]
fn the_table_keeps_what_it_is_given() {
    let template = template();
    let table = &template["Resources"]["Table"];
    assert_eq!(
        (
            &table["Condition"],
            &template["Parameters"]["ExistingTable"]["Default"]
        ),
        (&json!("MakesTable"), &json!(""))
    );
    // A table that was restored gets by this script what this one has from the start.
    let restore = include_str!("../../../infra/restore.sh");
    for part in [
        &format!("AttributeName={TTL_ATTRIBUTE}"),
        "PointInTimeRecoveryEnabled=true",
        "--deletion-protection-enabled",
        "SSEType=KMS",
        "PAY_PER_REQUEST",
    ] {
        assert!(restore.contains(part), "{part}");
    }
    assert_eq!(
        (&table["DeletionPolicy"], &table["UpdateReplacePolicy"]),
        (&json!("Retain"), &json!("Retain"))
    );
    let table = &table["Properties"];
    assert_eq!(table["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(
        table["TimeToLiveSpecification"],
        json!({ "AttributeName": TTL_ATTRIBUTE, "Enabled": true })
    );
    assert_eq!(
        table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"],
        true
    );
    assert_eq!(
        table["SSESpecification"],
        json!({ "SSEEnabled": true, "SSEType": "KMS" })
    );
    let keys: Vec<&Value> = table["KeySchema"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["AttributeName"])
        .collect();
    assert_eq!(keys, ["pk", "sk"]);
    assert_eq!(table["GlobalSecondaryIndexes"], Value::Null);
}

/// Each source of messages has dead letters of its own, from which they can be sent back, and somebody hears of them.
#[test]
fn what_fails_again_and_again_comes_to_the_dead_letters_and_somebody_hears_of_it() {
    let template = template();
    let resources = resources(&template);
    let queue = |name: &str| &resources[name]["Properties"];
    let arn = |name: &str| json!({ "Fn::GetAtt": [name, "Arn"] });
    for (source, function, event, concurrency, deliveries) in [
        ("Work", "HourlyAttributor", "Nudge", "WorkConcurrency", 10),
        (
            "Arrivals",
            "RedemptionBatch",
            "Arrival",
            "FilesConcurrency",
            20,
        ),
    ] {
        let dead = format!("{source}Dead");
        let limit_s = queue(function)["Timeout"].as_i64().unwrap();
        assert!(limit_s <= 900, "Lambda's limit");
        assert!(queue(source)["VisibilityTimeout"].as_i64().unwrap() >= 6 * limit_s);
        assert_eq!(
            queue(source)["RedrivePolicy"],
            json!({ "deadLetterTargetArn": arn(&dead), "maxReceiveCount": deliveries })
        );
        let fed = &queue(function)["Events"][event]["Properties"];
        assert_eq!(fed["Queue"], arn(source));
        assert_eq!(
            fed["FunctionResponseTypes"],
            json!(["ReportBatchItemFailures"])
        );
        assert_eq!(
            fed["ScalingConfig"]["MaximumConcurrency"],
            json!({ "Ref": concurrency })
        );
        let parameter = &template["Parameters"][concurrency];
        // SQS's least. Together with the calls of people this fits into an account that is new.
        assert_eq!(
            (&parameter["MinValue"], &parameter["Default"]),
            (&json!(2), &json!(2))
        );
    }
    let shards = hourly_attributor::JobLimits::DEFAULT.shards;
    assert_eq!(
        template["Parameters"]["WorkConcurrency"]["MaxValue"],
        shards
    );
    let ticks = ["HourlyAttributor", "RedemptionBatch"].map(|function| {
        let tick = &queue(function)["Events"]["Tick"]["Properties"];
        assert_eq!(
            (&tick["Schedule"], &tick["DeadLetterConfig"]),
            (&json!("rate(1 hour)"), &json!({ "Arn": arn("TicksDead") }))
        );
        arn(&format!("{function}Tick"))
    });
    assert_eq!(
        queue("HourlyAttributor")["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"],
        arn("TicksDead")
    );
    let policy = &queue("TicksDeadPolicy")["PolicyDocument"]["Statement"][0];
    assert_eq!(
        policy["Condition"]["ArnEquals"]["aws:SourceArn"],
        json!(ticks)
    );
    for dead in ["WorkDead", "ArrivalsDead", "TicksDead"] {
        assert_eq!(queue(dead)["MessageRetentionPeriod"], 14 * 86_400);
        let alarm = queue(&format!("{dead}Alarm"));
        assert_eq!(
            alarm["Dimensions"][0]["Value"],
            json!({ "Fn::GetAtt": [dead, "QueueName"] })
        );
    }
    for (name, queue) in of_type(&template, "AWS::SQS::Queue") {
        assert_eq!(queue["SqsManagedSseEnabled"], true, "{name}");
    }
    // Those who hand over to themselves may.
    for name in ["HourlyAttributor", "RedemptionBatch"] {
        assert_eq!(queue(name)["RecursiveLoop"], "Allow", "{name}");
    }
    let api = &queue("Api")["DefaultRouteSettings"];
    assert_eq!(
        api["ThrottlingRateLimit"],
        json!({ "Ref": "RequestsPerSecond" })
    );
}

#[test]
fn the_bucket_is_private_and_tells_of_files_only() {
    let template = template();
    let bucket = &template["Resources"]["Files"];
    assert_eq!(
        (&bucket["DeletionPolicy"], &bucket["UpdateReplacePolicy"]),
        (&json!("Retain"), &json!("Retain"))
    );
    let bucket = &bucket["Properties"];
    let public = bucket["PublicAccessBlockConfiguration"]
        .as_object()
        .unwrap();
    assert!(public.len() == 4 && public.values().all(|blocked| *blocked == json!(true)));
    assert!(bucket["BucketEncryption"].is_object());
    let rules = bucket["LifecycleConfiguration"]["Rules"].as_array();
    for prefix in ["inbox/", "outbox/"] {
        let of = |rule: &&Value| rule["Prefix"] == prefix;
        let rule = rules.unwrap().iter().find(of).unwrap();
        assert_eq!(
            (&rule["Status"], &rule["ExpirationInDays"]),
            (&json!("Enabled"), &json!({ "Ref": "RetentionDays" }))
        );
    }
    // Overwritten content is gone, and nobody pays for it.
    assert_eq!(bucket["VersioningConfiguration"], Value::Null);
    let told = bucket["NotificationConfiguration"]["QueueConfigurations"]
        .as_array()
        .unwrap();
    // Of all files, so that one by a wrong name is not passed over; and of no result, for those lie elsewhere.
    assert_eq!(
        told,
        &vec![json!({
            "Event": "s3:ObjectCreated:*", "Queue": { "Fn::GetAtt": ["Arrivals", "Arn"] },
            "Filter": { "S3Key": { "Rules": [{ "Name": "prefix", "Value": "inbox/" }] } },
        })]
    );
    for name in ["a.csv", "A.CSV", "a.txt", "x/a.csv"] {
        let file = File::at(&format!("inbox/m/redemptions/{name}")).unwrap();
        for result in ["result.json", "rejected.csv"] {
            assert!(!file.result(result).starts_with("inbox/"), "{name}");
        }
    }
    let queue = &template["Resources"]["ArrivalsPolicy"]["Properties"];
    assert_eq!(
        queue["PolicyDocument"]["Statement"],
        json!([{
            "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage",
            "Resource": { "Fn::GetAtt": ["Arrivals", "Arn"] },
            "Condition": { "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } } },
        }])
    );
}

#[test]
fn the_function_of_files_has_their_bucket_and_their_queue() {
    let template = template();
    let function = &template["Resources"]["RedemptionBatch"]["Properties"];
    let variables = &function["Environment"]["Variables"];
    assert_eq!(
        (
            &variables["REVTRAIL_BUCKET"],
            &variables["REVTRAIL_QUEUE_URL"]
        ),
        (&json!({ "Ref": "Files" }), &json!({ "Ref": "Arrivals" }))
    );
}

/// Reports are at most an hour and a run behind the facts.
#[test]
fn r018_the_attributor_is_called_every_hour() {
    let template = template();
    let tick = &template["Resources"]["HourlyAttributor"]["Properties"]["Events"]["Tick"];
    assert_eq!(
        (&tick["Type"], &tick["Properties"]["Schedule"]),
        (&json!("Schedule"), &json!("rate(1 hour)"))
    );
}
