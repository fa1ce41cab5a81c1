"""Test redaction: secrets are removed, other text is unchanged."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider import text as text_module
from airflow_incident_provider.text import REDACTED, redact, redact_values

# Concatenated at run time, to avoid false positives of secret scanners.
SLACK, AWS, JWT = (
    "xox" + "b-123456789012-abcdefABCDEF",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
)
AWS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"
PRIVATE_KEY = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEabc\n-----END RSA " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def", "abc.def"),
        ("< authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("Proxy-Authorization: Digest username=x", "username=x"),
        ("Set-Cookie: session=abcdef; Path=/", "abcdef"),
        ("X-Api-Key: abcdef", "abcdef"),
        ("X-Auth-Token: abcdef", "abcdef"),
        ("sent bearer abcdefghijklmnopqrstuvwxyz", "abcdefghij"),
        (f"token {SLACK} leaked", SLACK),
        ("see https://hooks.slack.com/services/T0/B0/xyz", "T0/B0/xyz"),
        ("postgres://app:hunter2@db/orders", "hunter2"),
        ("https://oauth-token@git.example.com/x", "oauth-token"),
        (f"key {AWS}", AWS),
        (f"aws_secret_access_key = {'a' * 40}", "a" * 40),
        (f"got {JWT} back", JWT),
        (PRIVATE_KEY, "MIIEabc"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEabc (cut off)", "MIIEabc"),
        ("ghp_" + "a" * 36, "a" * 36),
        ("AIza" + "b" * 35, "b" * 35),
        ("sk_live_" + "c" * 24, "c" * 24),
        ('{"api_key": "abcdef", "n": 1}', "abcdef"),
        ("DD_API_KEY=abcdef0123", "abcdef0123"),
        ("https://a.example.com/?access_token=abcdef&x=1", "abcdef"),
        ("password: hunter2", "hunter2"),
        ("db.password='hunter two'", "hunter two"),
        ("PGPASSWORD=hunter2", "hunter2"),
        ("amqp://app:p@ss@db/", "p@ss"),
        ("curl -H 'Authorization: Bearer abc.def'", "abc.def"),
        ("postgres://app:pa/ss@db/", "pa/ss"),
        ("app:hunter2@db.example:5432 refused", "hunter2"),
        ("jdbc:oracle:thin:scott/tiger@db", "tiger"),
        ("Server=x;User Id=sa;Password=hunter2;Encrypt=true", "hunter2"),
        ("AccountName=x;AccountKey=abc/def+g==;EndpointSuffix=y", "abc/def"),
        ('{\\"password\\": \\"hunter2\\"}', "hunter2"),
        ('{"name": "DB_PASSWORD", "value": "hunter two"}', "hunter two"),
        ('<add key="Password" value="hunter2"/>', "hunter2"),
        ("password=&quot;hunter2&quot;", "hunter2"),
        ("**password**: `hunter two`", "hunter two"),
        ('PASSWORD := "hunter2"', "hunter2"),
        ("password -> hunter2", "hunter2"),
        ("password ==> hunter2", "hunter2"),
        ("password : = hunter2", "hunter2"),
        ("password: |\nhunter2\n", "hunter2"),
        ("password='hunter2 (cut off)", "hunter2"),
        ("Passwort: hunter2", "hunter2"),
        ("mot de passe : hunter2", "hunter2"),
        ("contrase\u00f1a=hunter2", "hunter2"),
        ("\u043f\u0430\u0440\u043e\u043b\u044c\uff1ahunter2", "hunter2"),
        ("REDISCLI_AUTH=hunter2", "hunter2"),
        ("DB_PW=hunter2", "hunter2"),
        ("redis-cli -h db -a hunter2 ping", "hunter2"),
        ("curl -uadmin:hunter2 https://x", "hunter2"),
        ("kubectl create secret generic x --from-literal=k=hunter2", "hunter2"),
        ("GenieKey 12345678-1234-1234-1234-123456789012", "12345678-1234"),
        ("hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWx01", "AbCdEfGh"),
        ("newvendor" + "_" + "Ab1" * 9, "Ab1Ab1"),
        ("sbp" + "_" + "0" * 40, "0" * 40),
        ("tskey" + "-auth-kabcdefCNTRL-abcdefgh", "kabcdef"),
        ("https://api.telegram.org/bot123456789:AA" + "b" * 33 + "/sendMessage", "b" * 33),
        ("'secret' => 'hunter two'", "hunter two"),
        ("<dbPassword>hunter2</dbPassword>", "hunter2"),
        ("deploy --token hunter2 --force", "hunter2"),
        ("sshpass -p hunter2 ssh a", "hunter2"),
        ("mysql -u root -phunter2", "hunter2"),
        ("curl -u admin:hunter2 https://a", "hunter2"),
        ('password "hunter2" rejected', "hunter2"),
        ("Password for user admin is hunter2", "hunter2"),
        ("secret_key_base: hunter2", "hunter2"),
        ("sent Bearer abc123", "abc123"),
        ("password%3Dhunter2", "hunter2"),
        ("https://discord.com/api/webhooks/1/hunter2", "hunter2"),
        ("npm_" + "a" * 36, "a" * 36),
        ("hvs." + "b" * 24, "b" * 24),
        ("dapi" + "c0" * 16, "c0" * 16),
        (f"{AWS} {AWS_KEY}", AWS_KEY),
        (f"{AWS}:{AWS_KEY}", AWS_KEY),
        (f"keys: {AWS}\n{AWS_KEY}", AWS_KEY),
        (f"{AWS_KEY} belongs to {AWS}", AWS_KEY),
        (f"the secret {AWS_KEY}", AWS_KEY),
        (f"SecretAccessKey {AWS_KEY}", AWS_KEY),
        (f"aws_secret_access_key\t{AWS_KEY}", AWS_KEY),
        ("SessionToken " + "IQoJb3JpZ2lu" + "x" * 60, "x" * 60),
        ("github" + "_pat_11ABCDEFG0abcdefghijkl_" + "Z1a" * 15, "Z1aZ1a"),
        ("xox" + "d-abc%2Bdef%3D", "def%3D"),
        ("Basic dXNlcjpwYXNz", "dXNlcj"),
        ("basic auth dXNlcjpwYXNzd29yZA==", "dXNlcj"),
        ('{"auths": {"r": {"auth": "dXNlcjpwYXNz"}}}', "dXNlcj"),
        ("app:hunter2@tcp(db:3306)/orders", "hunter2"),
        ("//app:hunter2@host/path", "hunter2"),
        ("machine h login app password hunter2", "hunter2"),
        ("GOC" + "SPX-abcdefghijklmnopqrstuvwx", "abcdefgh"),
        ("abc8Q" + "~" + "x1" * 16, "x1x1"),
        ("Ab1/" * 21 + "Ab==", "Ab1/Ab1"),
        ("client-key-data: LS0tLS1CRUdJTiBSU0E", "LS0tLS1C"),
        ("pw: hunter2", "hunter2"),
        ("passwords: hunter2", "hunter2"),
        ('"password": ["hunter2", "hunter3"]', "hunter3"),
        ("the password was: hunter2", "hunter2"),
        ('<Password xsi:type="string">hunter2</Password>', "hunter2"),
        ("<api-key scope='all'>hunter2</api-key>", "hunter2"),
        ("bearer: hunter2hunter2", "hunter2"),
        ("Bearer%20hunter2hunter2", "hunter2"),
        ("SNMP community: hunter2", "hunter2"),
        ("https://outlook.office.com/webhook/hunter2@acme/IncomingWebhook/x", "hunter2"),
        ("GET /callback?code=4/0AbUR2VMeHunter2-AbUR2VMeHunter2&state=x", "AbUR2VMe"),
        ("password=no-one-knows", "no-one"),
        ("password=null1", "null1"),
    ],
)
def test_secrets_are_redacted(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "HTTP 503 after 212 ms (name 2, connect 3, TLS 9, first byte 198)",
        "certificate expires in 6 days (2026-11-29, CN=checkout.example.com)",
        "https://checkout.example.com:443/healthz?x=1",
        "a token was expected; the bearer of this mail",
        "contact ops@example.com",
        "fe80::1 172.16.0.1 2026-11-23T09:35:00Z",
        "the pass rate is 98%",
        "owner:dana@acme.example nginx:1.25@sha256:abc",
        "Unexpected token '<' at 1",
        "token expired; tokens: 5; max_tokens=4096",
        "password is incorrect",
        "https://checkout.example.com:8443/path/@user",
        "cycle_key=7 primary_key: id",
        "mysql-prod is slow -p99 above 2s",
        "compass: north, bypass=no",
        "signal: 9; design=new",
        "commit 0123456789abcdef0123456789abcdef01234567 deployed",
        "the secret of version 0123456789abcdef0123456789abcdef01234567",
        "trace_id:4bf92f3577b34da6a3ce929d0e0e4736 span_id:00f067aa0ba902b7",
        "key 123e4567-e89b-12d3-a456-426614174000 of pod checkout-7d9f8b6c5d-x2x4z",
        "https://app.datadoghq.com/monitors/148275309?from_ts=1795430100000&event_id=7716548234011230001",
        "Basic monitoring is enabled, and basic auth failed",
        "sha512-" + "Ab1/" * 21 + "Ab==",
        "digest: 2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        "secret rotation job 20261129 failed",
        "service:token-service team:auth env:prod",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "has_password=true token_expired: false",
        "password=null, token: none; secret=<none>",
        "Access denied for user 'app'@'10.0.0.5' (using password: YES)",
        "SELECT * FROM users WHERE token = ? AND password = $1",
        "password=******** token: [FILTERED]",
        "password: '' token: \"\"",
        'MountVolume.SetUp failed: secret "db-credentials" not found',
        "secrets is forbidden: secret 'db' already exists",
        "secret_name=db-credentials secret_version=12 password_file=/run/x",
        "pass: 93, fail: 7",
        "killed with sig=9, sig: SIGTERM",
        "ssh://git@github.com/acme/checkout.git",
        "mysql -h db -P 3306",
        "order code=500 ?code=4711&x=1",
    ],
)
def test_plain_text_is_unchanged(text: str) -> None:
    assert redact(text) == text


def test_only_the_secret_is_redacted() -> None:
    assert redact('{"password": "x", "n": 1}') == '{"password": [redacted], "n": 1}'
    assert redact("GET /?token=abc&page=2") == "GET /?token=[redacted]&page=2"


@given(st.text(alphabet="ab:=/@.-_ \n'\"{}&eyJ0pswdkuxyzgh", max_size=60))
def test_prefilter_does_not_skip_matching_rules(text: str) -> None:
    changed = text
    for pattern, replacement in text_module._RULES:
        changed = pattern.sub(replacement, changed)
    assert redact(text) == changed


@given(st.text(alphabet="ab:=/@.-_ \n'\"{}&eyJ0", max_size=200))
def test_redaction_is_idempotent(text: str) -> None:
    redacted = redact(text)
    assert redact(redacted) == redacted


@pytest.mark.parametrize(
    "piece",
    [
        "a_",
        "a.",
        "token=",
        "x://",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "Cookie:",
        " |",
        "sk-",
        "\n",
        "-eyJ",
        "x-",
        "token ",
        'token="',
        "sk-ab-",
        "pass",
        "Aa1/",
        "//a:",
        "basic ",
    ],
)
def test_redaction_of_hostile_text_is_fast(piece: str) -> None:
    started = time.process_time()
    redact(piece * (65_536 // len(piece)))
    assert time.process_time() - started < 2


def test_values_with_secret_names_are_redacted() -> None:
    conf = {
        "password": {"value": "hunter2", "set": True},
        "credentials": ["hunter2", None, ""],
        "token": 4711,
        "headers": {"Authorization": "hunter2", "X-Vault-Token": "hunter2", "Accept": "text/html"},
        "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "PORT", "value": "80"}],
    }
    assert redact_values(conf) == {
        "password": {"value": REDACTED, "set": True},
        "credentials": [REDACTED, None, ""],
        "token": REDACTED,
        "headers": {"Authorization": REDACTED, "X-Vault-Token": REDACTED, "Accept": "text/html"},
        "env": [{"name": "DB_PASSWORD", "value": REDACTED}, {"name": "PORT", "value": "80"}],
    }


def test_aws_secret_key_is_redacted_next_to_its_id() -> None:
    assert redact_values({"id": AWS, "x": AWS_KEY, "sha": "ab" * 20}) == {
        "id": REDACTED,
        "x": REDACTED,
        "sha": "ab" * 20,
    }
    assert redact_values([AWS, AWS_KEY]) == [REDACTED, REDACTED]
    assert redact_values(["x", AWS_KEY]) == ["x", AWS_KEY]


@pytest.mark.parametrize(
    "text",
    [
        "password: b'hunter2xyz'",
        'token=u"hunter2xyz"',
        "creds: admin:hunter2xyz",
        "the secret `hunter2xyz` leaked",
        "{&#x27;password&#x27;: &#x27;hunter2xyz&#x27;}",
        "{&#39;token&#39;: &#39;hunter2xyz&#39;}",
        "password&#61;hunter2xyz",
        "password&equals;hunter2xyz",
        "password\\u003dhunter2xyz",
        "{\\u0022password\\u0022:\\u0022hunter2xyz\\u0022}",
        "pass\u200bword=hunter2xyz",
        "pass\u00adword=hunter2xyz",
        "\uff30assword=hunter2xyz",
    ],
)
def test_secret_is_removed_however_its_name_is_written(text: str) -> None:
    assert "hunter2" not in redact(text)
    assert redact(redact(text)) == redact(text)


def test_hidden_characters_without_a_secret_stay() -> None:
    assert redact("pass\u200bword reset is slow \uff21") == "pass\u200bword reset is slow \uff21"
