"""The runbook and the notice to support, as Markdown. Pure. until phase 3"""

from __future__ import annotations

from migrate.config.model import Settings

__all__ = ["NOTICES", "notice", "runbook"]


def runbook(settings: Settings, config_file: str, digest: str) -> str:
    """What to do on a bad day, with this stack's own names."""
    api, sse, project = settings.api, settings.sse, settings.project
    features = [feature.name for feature in settings.features]
    back = "\n".join(f"migrate rollback {name} --config {config_file}" for name in features) or "(no features)"
    tables = ", ".join(f"`{table.name}`" for table in settings.tables) or "none"
    functions = ", ".join(f"`{one.name}`" for one in settings.functions) or "none"
    return f"""# Runbook: {project.name}

Written from `{config_file}`, configuration {digest[:12]}. Write it again when the configuration changes:
`migrate runbook --config {config_file}`.

## What runs

| | |
|---|---|
| old stack | WebSocket API `{api.id}`, stage `{api.stage}`, {api.ws_url or "its AWS address"} |
| functions | {functions} |
| tables | {tables} |
| service | {sse.url or "(sse.url is empty)"}, health `/healthz`, readiness `/readyz`, metrics `/metrics` |
| shared state | table `{project.state_table}`; records in `{project.records}` |
| features | {", ".join(features) or "none"} |

## Users complain: bring them back first

At once, in every state, for everybody:

```
{back}
```

Clients learn it within seconds: those on the service by their stream, those on WebSocket by asking. Then look:

```
migrate cutover status --config {config_file}
migrate journal --config {config_file}
migrate compare --config {config_file} --since 30m --html report.html
```

## The service answers with errors

1. `curl {sse.url or "URL"}/readyz`: what is not ready is named.
2. Streams that break resume by themselves from the event log, on any instance; nothing is lost while the log is there.
3. DynamoDB throttles (alarm `ws2sse-{project.name}-log-throttled`): publishers get 503 with Retry-After and come back.
4. Bring users back (above) when it lasts.

## The old stack answers with errors

1. Is the tee the cause? It fails open. Take it off: `migrate shadow stop --all-readers --config {config_file}`; without
   `--all-readers` it stays while the bridge reads it, and with it nothing crosses to SSE any more.
2. Log groups: {", ".join(f"`{one.log_group or '/aws/lambda/' + one.name}`" for one in settings.functions) or "none"}.

## The bridge

`migrate bridge status`. Stopped, it loses nothing: messages wait in its queue and in the event log, and are delivered when it
runs again.

## Cleaning up

Nothing is deleted without `--execute`, and everything that is deleted is in `{project.records}/exports` before:

```
migrate cleanup connections status --config {config_file}
migrate cleanup connections restore --config {config_file}
migrate cleanup resources restore --config {config_file}
```

What cannot be had again: the API's id and address. `migrate cleanup resources plan` says so before it happens.
"""


NOTICES = {
    "en": """# For support: {name} moves from WebSocket to Server-Sent Events

**What changes for users:** nothing that they should see. Messages arrive as before; nobody has to reload or sign in again.

**When:** feature by feature, a few users first. Features: {features}.

**If a user reports** missing or doubled messages, a page that does not update, or "connecting" that does not end: note user,
time with time zone, browser, and what was missing; ask them to reload once; pass it on to the team at once, since one
command brings everybody back.

**Networks:** the new connection is an ordinary HTTPS request to {url} that stays open. Proxies that buffer answers or cut
requests after less than a minute disturb it; the client reconnects by itself and misses nothing.
""",
    "ja": """# サポート向け: {name} は WebSocket から Server-Sent Events へ移行します

**利用者への影響:** 見える変化はありません。メッセージはこれまでどおり届き、再読み込みも再ログインも不要です。

**時期:** 機能ごとに、少数の利用者から順に移します。対象の機能: {features}。

**問い合わせがあったとき**（メッセージが届かない・二重に届く、画面が更新されない、「接続中」のまま）: 利用者、時刻（タイムゾーン付き）、
ブラウザ、欠けていた内容を記録し、一度再読み込みしてもらい、すぐに開発チームへ連絡してください。コマンド一つで全員を元に戻せます。

**ネットワーク:** 新しい接続は {url} への通常のHTTPSリクエストで、開いたままになります。応答をためるプロキシや、1分未満でリクエストを
切るプロキシは妨げになりますが、クライアントは自動的に再接続し、メッセージは失われません。
""",
    "ko": """# 지원팀 안내: {name}이(가) WebSocket에서 Server-Sent Events로 이전합니다

**사용자에게 달라지는 점:** 눈에 보이는 변화는 없습니다. 메시지는 지금처럼 도착하며, 새로고침이나 재로그인이 필요 없습니다.

**시기:** 기능별로, 소수 사용자부터 차례로 이전합니다. 대상 기능: {features}.

**사용자 문의 시**(메시지 누락·중복, 화면이 갱신되지 않음, "연결 중"이 끝나지 않음): 사용자, 시각(시간대 포함), 브라우저, 누락된 내용을
기록하고, 한 번 새로고침하도록 안내한 뒤 즉시 개발팀에 전달하세요. 명령 하나로 모두를 되돌릴 수 있습니다.

**네트워크:** 새 연결은 {url}에 대한 일반 HTTPS 요청이며 열린 상태로 유지됩니다. 응답을 버퍼링하거나 1분 이내에 요청을 끊는 프록시는 방해가
되지만, 클라이언트가 스스로 다시 연결하며 놓치는 메시지는 없습니다.
""",
}


def notice(settings: Settings, language: str) -> str:
    """The notice to the support team."""
    return NOTICES[language].format(
        name=settings.project.name,
        features=", ".join(feature.name for feature in settings.features) or "-",
        url=settings.sse.url or "-",
    )
