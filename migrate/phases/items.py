"""The items: the sixteen of the migration document, in its order and words, and those this toolkit adds. Pure.
until phase 3

Source of the sixteen: the layered WebSocket stack's document, "移行チェックリスト" (WL11).
"""

from __future__ import annotations

from migrate.phases.model import Group, Item

__all__ = ["ITEMS", "PHASES", "item_named", "items_of"]

DAY_S = 86_400.0
_DEV, _INFRA, _OPS, _TOOL = Group.DEVELOPERS, Group.INFRASTRUCTURE, Group.OPERATIONS, Group.TOOLKIT


def _t(en: str, ja: str, ko: str) -> dict[str, str]:
    return {"en": en, "ja": ja, "ko": ko}


PHASES = {
    1: _t(
        "Phase 1: no new WebSocket code", "フェーズ1: 新しいWebSocketコードを書かない", "1단계: 새 WebSocket 코드 금지"
    ),
    2: _t("Phase 2: features move over", "フェーズ2: 機能を順に移す", "2단계: 기능 이전"),
    3: _t("Phase 3: removal", "フェーズ3: 削除", "3단계: 제거"),
}

ITEMS: tuple[Item, ...] = (
    Item(
        "config-checked",
        1,
        _TOOL,
        _t(
            "The stack is described, and the description holds",
            "スタックの記述があり、実物と一致する",
            "스택 설명이 있고 실제와 일치함",
        ),
        "config",
        "migrate check-config {options}",
        stale_after_s=7 * DAY_S,
    ),
    Item(
        "uses-found",
        1,
        _DEV,
        _t("WebSocket connection code identified", "WebSocket接続コードの特定", "WebSocket 연결 코드 식별"),
        "baseline",
        "migrate scan {source} --config {config} --baseline {baseline} --write-baseline",
        "dev1",
    ),
    Item(
        "gate-in-ci",
        1,
        _TOOL,
        _t("CI refuses new uses", "CIが新しい利用を拒否する", "CI가 새 사용을 거부함"),
        "gate",
        'let CI run, in the repository\'s root: pip install "ws2sse[migrate]" && {gate}',
    ),
    Item(
        "no-new-uses",
        1,
        _TOOL,
        _t("No use that the baseline does not know", "ベースラインにない利用がない", "기준선에 없는 사용이 없음"),
        "new_uses",
        "migrate scan {source} --config {config} --baseline {baseline} --fail-on-new",
    ),
    Item(
        "sse-implemented",
        2,
        _DEV,
        _t("Replaced by an SSE implementation", "SSE実装への置き換え", "SSE 구현으로 교체"),
        "service",
        "sse-service check-config",
        "dev2",
    ),
    Item(
        "deliveries-compared",
        2,
        _TOOL,
        _t(
            "Both stacks deliver the same, feature by feature",
            "両スタックの配信が機能ごとに一致する",
            "기능별로 두 스택의 전달이 일치함",
        ),
        "verdicts",
        "migrate shadow start {options}, then migrate compare {options}",
        stale_after_s=30 * DAY_S,
    ),
    Item(
        "features-moved",
        2,
        _TOOL,
        _t("Every feature is moved, for everybody", "すべての機能を全員分移した", "모든 기능이 모두에게 이전됨"),
        "flags",
        "migrate cutover {feature} --steps --execute {options}",
    ),
    Item(
        "clients-updated",
        2,
        _DEV,
        _t("Clients updated", "クライアント側の更新", "클라이언트 업데이트"),
        "clients",
        "migrate codemod {source} --config {config} --write",
        "dev3",
    ),
    Item(
        "errors-reviewed",
        2,
        _DEV,
        _t("Error handling reviewed", "エラーハンドリングの見直し", "오류 처리 재검토"),
        "",
        'migrate phase2 sign errors-reviewed --by "$USER" --note "…" {options}',
        "dev4",
    ),
    Item(
        "reconnect-removed",
        2,
        _DEV,
        _t(
            "Reconnect logic removed (SSE does it)", "再接続ロジックの削除（SSEは自動）", "재연결 로직 제거(SSE는 자동)"
        ),
        "reconnects",
        "migrate codemod {source} --config {config} --write",
        "dev5",
    ),
    Item(
        "tests-updated",
        2,
        _DEV,
        _t("Tests updated", "テストコードの更新", "테스트 코드 업데이트"),
        "tests",
        "migrate codemod {source} --config {config} --write",
        "dev6",
    ),
    Item(
        "docs-updated",
        2,
        _DEV,
        _t("Documentation updated", "ドキュメントの更新", "문서 업데이트"),
        "",
        'migrate phase2 sign docs-updated --by "$USER" --note "…" {options}',
        "dev7",
    ),
    Item(
        "dashboard",
        2,
        _OPS,
        _t("Monitoring dashboard updated", "監視ダッシュボードの更新", "모니터링 대시보드 업데이트"),
        "dashboard",
        "migrate observe {options} --execute",
        "ops1",
    ),
    Item(
        "alarms",
        2,
        _OPS,
        _t("Alarms reviewed", "アラート設定の見直し", "알림 설정 재검토"),
        "alarms",
        "migrate observe {options} --execute",
        "ops2",
    ),
    Item(
        "runbook",
        2,
        _OPS,
        _t("Runbook updated", "ランブックの更新", "런북 업데이트"),
        "runbook",
        "migrate runbook {options}",
        "ops3",
    ),
    Item(
        "support-told",
        2,
        _OPS,
        _t("Support team told", "サポートチームへの通知", "지원팀 통지"),
        "",
        'migrate phase2 sign support-told --by "$USER" --note "…" {options}',
        "ops4",
    ),
    Item(
        "api-plan",
        3,
        _INFRA,
        _t(
            "Plan to delete the API Gateway WebSocket endpoint",
            "API Gateway WebSocketエンドポイントの削除計画",
            "API Gateway WebSocket 엔드포인트 삭제 계획",
        ),
        "plan_api",
        "migrate cleanup resources plan {options}",
        "infra1",
    ),
    Item(
        "tables-plan",
        3,
        _INFRA,
        _t(
            "Plan to delete the DynamoDB connection tables",
            "DynamoDB接続テーブルの削除計画",
            "DynamoDB 연결 테이블 삭제 계획",
        ),
        "plan_tables",
        "migrate cleanup resources plan {options}",
        "infra2",
    ),
    Item(
        "functions-plan",
        3,
        _INFRA,
        _t("Plan to delete the Lambda functions", "Lambda関数の削除計画", "Lambda 함수 삭제 계획"),
        "plan_functions",
        "migrate cleanup resources plan {options}",
        "infra3",
    ),
    Item(
        "logs-kept",
        3,
        _INFRA,
        _t("Retention of CloudWatch Logs set", "CloudWatch Logsの保存期間設定", "CloudWatch Logs 보존 기간 설정"),
        "logs",
        "migrate cleanup resources plan {options}",
        "infra4",
    ),
    Item(
        "cost-checked",
        3,
        _INFRA,
        _t("Savings checked", "コスト削減の確認", "비용 절감 확인"),
        "cost",
        "migrate cost {options}",
        "infra5",
        stale_after_s=30 * DAY_S,
    ),
    Item(
        "traffic-zero",
        3,
        _TOOL,
        _t("Nobody uses the old stack any more", "旧スタックの利用がない", "기존 스택을 아무도 사용하지 않음"),
        "traffic",
        "migrate drain start --execute {options}",
    ),
    Item(
        "tables-swept",
        3,
        _TOOL,
        _t("No rows left in the connection tables", "接続テーブルに行が残っていない", "연결 테이블에 행이 없음"),
        "swept",
        "migrate cleanup connections {options} --execute",
    ),
    Item(
        "tee-removed",
        3,
        _TOOL,
        _t("The tee is off every function", "すべての関数からteeを外した", "모든 함수에서 tee 제거"),
        "tee",
        "migrate shadow stop --all-readers {options}",
    ),
    Item(
        "resources-gone",
        3,
        _TOOL,
        _t("The old stack is gone", "旧スタックが削除された", "기존 스택이 제거됨"),
        "gone",
        "migrate cleanup resources apply {options} --execute",
    ),
    Item(
        "archived",
        3,
        _TOOL,
        _t("Evidence and journal are archived", "証拠と記録を保管した", "증거와 기록을 보관함"),
        "archive",
        "migrate report {and_source}",
    ),
)


def items_of(phase: int) -> tuple[Item, ...]:
    """The items of a phase, in their order."""
    return tuple(item for item in ITEMS if item.phase == phase)


def item_named(phase: int, name: str) -> Item | None:
    """By its id."""
    return next((item for item in items_of(phase) if item.id == name), None)
