use super::{Asked, OpenApi};
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "servers": [{ "url": "https://api.example/api/v1/" }],
        "paths": {
            "/orders": {
                "parameters": [{ "name": "X-Tenant", "in": "header", "required": true, "schema": { "type": "string", "pattern": "^[a-z]{2,8}$" } }],
                "get": {
                    "operationId": "listOrders",
                    "parameters": [
                        { "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": 100 } },
                        { "name": "state", "in": "query", "schema": { "type": "array", "items": { "enum": ["open", "paid"] } } },
                        { "name": "ids", "in": "query", "explode": false, "schema": { "type": "array", "items": { "type": "integer" }, "maxItems": 2 } },
                        { "name": "filter", "in": "query", "style": "deepObject", "schema": { "type": "object", "properties": { "min": { "type": "number" } }, "additionalProperties": false } }
                    ]
                },
                "post": {
                    "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Order" } } } }
                }
            },
            "/orders/{id}": {
                "get": { "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } }] }
            },
            "/orders/latest": { "get": { "operationId": "latest" } },
            "/form": { "put": { "requestBody": { "content": { "application/x-www-form-urlencoded": { "schema": {
                "type": "object", "properties": { "n": { "type": "integer" }, "t": { "type": "array", "items": { "type": "string" } } },
                "additionalProperties": false } } } } } }
        },
        "components": { "schemas": {
            "Order": {
                "type": "object", "required": ["items"], "additionalProperties": false,
                "properties": {
                    "note": { "type": ["string", "null"], "maxLength": 5 },
                    "items": { "type": "array", "minItems": 1, "items": { "$ref": "#/components/schemas/Item" } },
                    "parent": { "$ref": "#/components/schemas/Order" },
                    "pay": { "oneOf": [{ "type": "object", "required": ["card"] }, { "type": "object", "required": ["iban"] }] }
                }
            },
            "Item": {
                "type": "object", "required": ["sku", "price"],
                "properties": { "sku": { "type": "string" }, "price": { "type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01 } },
                "unevaluatedProperties": false
            }
        } }
    })
}

/// Status and place of the misfit; `None`: it fits.
fn judge(method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Option<(u16, String)> {
    let (api, _) = OpenApi::read(&document()).unwrap();
    let list = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let asked = Asked { method: method.as_bytes(), target: target.as_bytes() };
    let kind = fields.iter().find(|(name, _)| *name == "content-type").map_or("", |(_, value)| value);
    let judged = api.head(asked, list).and_then(|fitting| api.body(fitting, kind.as_bytes(), body.as_bytes()));
    judged.err().map(|misfit| (misfit.status, misfit.place))
}

#[track_caller]
fn check(method: &str, target: &str, want: Option<(u16, &str)>) {
    let got = judge(method, target, &[("x-tenant", "acme")], "");
    assert_eq!(got, want.map(|(status, place)| (status, place.to_owned())), "{method} {target}");
}

#[test]
fn heads() {
    check("GET", "/api/v1/orders", None);
    check("GET", "/api/v1/orders?limit=10&state=open&state=paid&ids=1,2&filter[min]=0.5", None);
    check("GET", "/api/v1/orders/", Some((404, "path")));
    check("GET", "/orders", Some((404, "path")));
    check("GET", "/api/v1/orders/../admin", Some((404, "path")));
    check("GET", "/api/v1//orders", Some((404, "path")));
    check("GET", "/api/v1/%6frders", None);
    check("DELETE", "/api/v1/orders", Some((405, "method")));
    check("get", "/api/v1/orders", Some((405, "method")));
    check("GET", "/api/v1/orders?limit=0", Some((400, "query limit")));
    check("GET", "/api/v1/orders?limit=1e9", Some((400, "query limit")));
    check("GET", "/api/v1/orders?limit=1%20OR%201=1", Some((400, "query limit")));
    check("GET", "/api/v1/orders?limit=1&limit=2", Some((400, "query limit")));
    check("GET", "/api/v1/orders?admin=1", Some((400, "query admin")));
    check("GET", "/api/v1/orders?state=gone", Some((400, "query state/0")));
    check("GET", "/api/v1/orders?ids=1,2,3", Some((400, "query ids")));
    check("GET", "/api/v1/orders?filter[max]=1", Some((400, "query filter/max")));
    check("GET", "/api/v1/orders/0c9f8a3e-5b1d-4c6e-9a70-1f2e3d4c5b6a", None);
    check("GET", "/api/v1/orders/1", Some((400, "path id")));
    check("GET", "/api/v1/orders/latest", None);
    assert_eq!(judge("GET", "/api/v1/orders", &[], ""), Some((400, "header X-Tenant".into())));
    assert_eq!(judge("GET", "/api/v1/orders", &[("x-tenant", "a\nacme")], ""), Some((400, "header X-Tenant".into())));
}

#[test]
fn bodies() {
    let post = |body: &str| {
        let fields = [("x-tenant", "acme"), ("content-type", "application/json; charset=utf-8")];
        judge("POST", "/api/v1/orders", &fields, body)
    };
    let wrong = |place: &str| Some((400, place.to_owned()));
    let item = r#"{"sku":"a","price":1.25}"#;
    assert_eq!(
        post(&format!(r#"{{"items":[{item}],"note":null,"parent":{{"items":[{item}]}},"pay":{{"card":1}}}}"#)),
        None
    );
    assert_eq!(post(r#"{"items":[]}"#), wrong("body /items"));
    assert_eq!(post(&format!(r#"{{"items":[{item},{{"sku":"a","price":0}}]}}"#)), wrong("body /items/1/price"));
    assert_eq!(post(r#"{"items":[{"sku":"a","price":1.255}]}"#), wrong("body /items/0/price"));
    assert_eq!(post(r#"{"items":[{"sku":1,"price":1}]}"#), wrong("body /items/0/sku"));
    assert_eq!(post(&format!(r#"{{"items":[{item}],"admin":true}}"#)), wrong("body /admin"));
    assert_eq!(post(&format!(r#"{{"items":[{item}],"note":"toolong"}}"#)), wrong("body /note"));
    assert_eq!(post(&format!(r#"{{"items":[{item}],"pay":{{"card":1,"iban":1}}}}"#)), wrong("body /pay"));
    assert_eq!(post(&format!(r#"{{"items":[{item}],"items":[]}}"#)), wrong("body"), "a key given twice");
    assert_eq!(post("[1"), wrong("body"));
    assert_eq!(post(&"[".repeat(100_000)), wrong("body"));
    assert_eq!(post(""), wrong("body"));
    let text = [("x-tenant", "acme"), ("content-type", "text/plain")];
    assert_eq!(judge("POST", "/api/v1/orders", &text, "a"), Some((415, "content-type".into())));
    assert_eq!(judge("GET", "/api/v1/orders", &text, "a"), wrong("body"));
    let form =
        |body: &str| judge("PUT", "/api/v1/form", &[("content-type", "application/x-www-form-urlencoded")], body);
    assert_eq!(form("n=1&t=a&t=b"), None);
    assert_eq!(form("n=x"), wrong("body /n"));
    assert_eq!(form("m=1"), wrong("body /m"));
}

#[test]
fn what_is_not_read_is_said() {
    let (api, notes) = OpenApi::read(&document()).unwrap();
    let said: Vec<_> = notes.iter().map(|note| (note.pointer.as_str(), note.is_fault)).collect();
    assert_eq!(said, [("/components/schemas/Item/unevaluatedProperties", false)]);
    let names: Vec<_> = api.operations().map(|(method, path, _)| (method, path)).collect();
    assert_eq!(names.len(), 5);
    let schema = |schema: Value| {
        let document = json!({ "openapi": "3.0.3", "paths": { "/a": { "post": { "requestBody": { "content": { "application/json": { "schema": schema } } } } } } });
        let (api, notes) = OpenApi::read(&document).unwrap();
        let fitting = api.head(Asked { method: b"POST", target: b"/a" }, std::iter::empty()).unwrap();
        let fits = |body: &str| api.body(fitting, b"application/json", body.as_bytes()).is_ok();
        (notes.iter().filter(|note| note.is_fault).count(), fits("1"), fits("\"ab\""), fits("null"))
    };
    assert_eq!(schema(json!({ "$ref": "other.yaml#/A" })), (1, false, false, false));
    assert_eq!(schema(json!({ "pattern": "(?=a)" })), (1, false, false, false));
    assert_eq!(schema(json!({ "type": "text" })), (1, false, false, false));
    assert_eq!(
        schema(json!({ "type": "integer", "nullable": true, "minimum": 1, "exclusiveMinimum": true })),
        (0, false, false, true)
    );
    assert_eq!(schema(json!({ "type": "string", "pattern": "b$" })), (0, false, true, false));
    assert_eq!(schema(json!({ "not": { "type": "string" } })), (0, true, false, true));
    assert!(OpenApi::read(&json!({ "swagger": "2.0", "paths": {} })).is_err());
}

#[test]
fn alternatives_within_alternatives_end() {
    // Shared by reference, as a document would write it.
    let document = json!({
        "openapi": "3.1.0",
        "paths": { "/a": { "post": { "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/T" } } } } } } },
        "components": { "schemas": { "T": { "anyOf": [
            { "properties": { "t": { "$ref": "#/components/schemas/T" } }, "required": ["x"] },
            { "properties": { "t": { "$ref": "#/components/schemas/T" } }, "required": ["y"] } ] } } }
    });
    let (api, _) = OpenApi::read(&document).unwrap();
    let fitting = api.head(Asked { method: b"POST", target: b"/a" }, std::iter::empty()).unwrap();
    let body = format!("{}{}", "{\"x\":1,\"y\":1,\"t\":".repeat(60), "0".to_owned() + &"}".repeat(60));
    let misfit = api.body(fitting, b"application/json", body.as_bytes()).map_err(|misfit| misfit.what);
    // Either all of it is judged within its fuel, or it is refused for that; it never runs on.
    assert!(misfit.is_ok() || misfit.is_err_and(|what| what.contains("too long")));
}

#[test]
fn formats() {
    use super::format::Format;
    let check = |name: &str, good: &[&str], bad: &[&str]| {
        let format = Format::named(name).unwrap().unwrap();
        good.iter().for_each(|text| assert!(format.holds(text), "{name} {text}"));
        bad.iter().for_each(|text| assert!(!format.holds(text), "{name} {text}"));
    };
    check("date", &["2024-02-29"], &["2023-02-29", "2024-13-01", "24-01-01", "2024-1-01", ""]);
    check(
        "date-time",
        &["2024-02-29T23:59:60Z", "2024-02-29T01:02:03.5+01:30"],
        &["2024-02-29", "2024-02-29T25:00:00Z", "2024-02-29T01:02:03"],
    );
    check("email", &["a.b@c.example"], &["a@", "@b", "a b@c", "a@b_c"]);
    check("ipv4", &["192.0.2.1"], &["192.0.2", "0x7f.1"]);
    check("uri", &["https://a/b?c#d"], &["//a", "a b:c", "https://a/<b>"]);
    check("uuid", &["0C9f8a3e-5b1d-4c6e-9a70-1f2e3d4c5b6a"], &["0c9f8a3e5b1d4c6e9a701f2e3d4c5b6a"]);
    check("byte", &["", "YQ==", "YWJj"], &["YQ", "Y===", "-_a="]);
}
