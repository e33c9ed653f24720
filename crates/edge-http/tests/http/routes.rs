//! Every route answers, in the shape and with the headers that are promised.

use super::client::{get, post};
use super::fake::Server;

const JSON_ROUTES: [&str; 13] = [
    "/api/overview",
    "/api/topics",
    "/api/topics/flights",
    "/api/topics/a%2Fb%20c",
    "/api/topics/flights/records",
    "/api/topics/flights/records?limit=3&partition=2",
    "/api/groups",
    "/api/pipelines",
    "/api/views",
    "/api/views/v/rows",
    "/api/alerts",
    "/api/dead-letters",
    "/health",
];

#[tokio::test]
async fn every_route_answers_with_json_and_the_security_headers() {
    let server = Server::start().await;
    for route in JSON_ROUTES {
        let reply = get(server.address, route, &[]).await;
        assert_eq!(reply.status, 200, "{route}: {}", reply.body);
        assert_eq!(
            reply.header("content-type"),
            Some("application/json"),
            "{route}"
        );
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{route}");
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{route}"
        );
        let csp = reply.header("content-security-policy").unwrap();
        assert!(
            csp.contains("default-src 'self'") && csp.contains("frame-ancestors 'none'"),
            "{csp}"
        );
        assert_eq!(reply.header("access-control-allow-origin"), None, "{route}");
        reply.json();
    }
}

#[tokio::test]
async fn metrics_are_text() {
    let server = Server::start().await;
    let reply = get(server.address, "/metrics", &[]).await;
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(reply.body, "headwater_up 1\n");
}

#[tokio::test]
async fn parameters_reach_the_node_within_their_limits() {
    let server = Server::start().await;
    let records = |query: &'static str| async move {
        let reply = get(
            server.address,
            &format!("/api/topics/t/records{query}"),
            &[],
        )
        .await;
        reply.json().as_array().unwrap().len()
    };
    assert_eq!(records("").await, 50);
    assert_eq!(records("?limit=7").await, 7);
    assert_eq!(records("?limit=999999").await, 500);
    assert_eq!(records("?limit=0").await, 1);
    let rows = get(
        server.address,
        "/api/views/v/rows?limit=5&order_by=n%20x&descending=true",
        &[],
    )
    .await;
    assert_eq!(rows.json()["rows"][0], serde_json::json!(["n x", true, 5]));
    let wrong = get(server.address, "/api/topics/t/records?limit=many", &[]).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.message().contains("limit"), "{}", wrong.message());
}

#[tokio::test]
async fn statements_run_and_numbers_stay_exact() {
    let server = Server::start().await;
    let reply = post(
        server.address,
        "/api/sql",
        "application/json; charset=utf-8",
        r#"{"sql": "SELECT 1"}"#,
    )
    .await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(
        reply.body.contains("[[123456789012345678901234567890.50]]"),
        "{}",
        reply.body
    );
    let apply =
        r#"{"pipeline": "p", "files": [{"name": "a.sql", "text": "..."}], "replace": true}"#;
    let reply = post(server.address, "/api/apply", "application/json", apply).await;
    assert_eq!(
        (reply.status, reply.json()["pipeline"].as_str()),
        (200, Some("p"))
    );
}

#[tokio::test]
async fn errors_say_where_and_what() {
    let server = Server::start().await;
    let reply = post(
        server.address,
        "/api/sql",
        "application/json",
        r#"{"sql": "SELECT oops"}"#,
    )
    .await;
    assert_eq!(reply.status, 400);
    let error = &reply.json()["error"];
    assert_eq!(
        (error["line"].as_u64(), error["column"].as_u64()),
        (Some(1), Some(8))
    );
    assert_eq!(error["caret"], "SELECT oops\n       ^");
    let missing = get(server.address, "/api/topics/nope", &[]).await;
    assert_eq!(
        (missing.status, missing.message().as_str()),
        (404, "there is no topic 'nope'")
    );
    assert_eq!(missing.json()["error"]["hint"], "make it");
    for path in ["/api/nope", "/api", "/api/topics/a/b/c", "/assets/nope.js"] {
        let reply = get(server.address, path, &[]).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.message().contains(path), "{}", reply.message());
    }
    let method = get(server.address, "/api/sql", &[]).await;
    assert_eq!(method.status, 405);
    assert!(method.message().contains("GET"));
}

#[tokio::test]
async fn the_page_is_served_for_its_own_addresses_and_cached_by_content() {
    let server = Server::start().await;
    let index = get(server.address, "/", &[]).await;
    assert_eq!(
        index.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(index.body.contains("<title>Headwater</title>"));
    assert!(
        !index.body.contains("<script>"),
        "the policy allows no inline script"
    );
    for path in [
        "/topics",
        "/topics/flights.late",
        "/views/a%2Fb",
        "/index.html",
    ] {
        assert_eq!(
            get(server.address, path, &[]).await.body,
            index.body,
            "{path}"
        );
    }
    let types = [
        ("console.js", "text/javascript; charset=utf-8"),
        ("console.css", "text/css; charset=utf-8"),
    ];
    for (name, kind) in types {
        let path = format!("/assets/{name}");
        let reply = get(server.address, &path, &[]).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some(kind))
        );
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        let tag = reply.header("etag").unwrap();
        let again = get(server.address, &path, &[("if-none-match", tag)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        assert_eq!(
            get(server.address, &path, &[("if-none-match", "\"old\"")])
                .await
                .status,
            200
        );
    }
}
