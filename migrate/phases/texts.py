"""What a checklist says, in English, Japanese and Korean. Pure. until phase 3"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from migrate.phases.model import Row
from migrate.times import utc_text

__all__ = ["TEXTS", "said_of", "text"]


# `[one|more:count]`: by the value of that name.
_NUMBERED = re.compile(r"\[([^|\]]*)\|([^:\]]*):(\w+)\]")


def _t(en: str, ja: str, ko: str) -> dict[str, str]:
    return {"en": en, "ja": ja, "ko": ko}


TEXTS: dict[str, dict[str, str]] = {
    "done": _t("done", "完了", "완료"),
    "open": _t("open", "未完了", "미완료"),
    "failing": _t("failing", "失敗", "실패"),
    "waived": _t("waived", "免除", "면제"),
    "developers": _t("Developers", "開発者", "개발자"),
    "infrastructure": _t("Infrastructure", "インフラ", "인프라"),
    "operations": _t("Operations", "運用", "운영"),
    "toolkit": _t("Toolkit", "ツールキット", "툴킷"),
    "next": _t("next step", "次の手順", "다음 단계"),
    "closed": _t("closed by {by}, {at}", "{by} が完了とした（{at}）", "{by}이(가) 종료함({at})"),
    "counts": _t(
        "{done} done, {open} open, {failing} failing, {waived} waived",
        "完了 {done}、未完了 {open}、失敗 {failing}、免除 {waived}",
        "완료 {done}, 미완료 {open}, 실패 {failing}, 면제 {waived}",
    ),
    "can-close": _t(
        'nothing is in the way of closing this phase: migrate phase{phase} close --by "$USER" {options}',
        'このフェーズは完了にできます: migrate phase{phase} close --by "$USER" {options}',
        '이 단계를 종료할 수 있습니다: migrate phase{phase} close --by "$USER" {options}',
    ),
    "signed": _t("signed by {by}, {at}: {note}", "{by} が署名（{at}）: {note}", "{by} 서명({at}): {note}"),
    "waived-by": _t("waived by {by}, {at}: {note}", "{by} が免除（{at}）: {note}", "{by} 면제({at}): {note}"),
    "needs-signature": _t(
        "only a person can know: it waits for a signature",
        "人だけが判断できます: 署名を待っています",
        "사람만 판단할 수 있음: 서명 대기 중",
    ),
    "stale-evidence": _t(
        "the evidence is of {at} and too old", "証拠は {at} のもので、古すぎます", "증거가 {at} 것으로 너무 오래됨"
    ),
    "stale-signature": _t(
        "signed for another configuration on {at}: the file has changed since",
        "{at} の署名は別の設定に対するものです: その後ファイルが変わりました",
        "{at} 서명은 다른 설정에 대한 것임: 이후 파일이 변경됨",
    ),
    "unknown": _t("could not be found out: {error}", "確認できませんでした: {error}", "확인할 수 없음: {error}"),
    "config-ok": _t(
        "{path} agrees with the live stack", "{path} は実物と一致します", "{path}이(가) 실제 스택과 일치함"
    ),
    "config-wrong": _t(
        "{count} finding[|s:count], the first: {first}",
        "{count} 件の不一致、最初: {first}",
        "불일치 {count}건, 첫 번째: {first}",
    ),
    "baseline-there": _t(
        "{count} known use[|s:count] in {path}", "{path} に既知の利用 {count} 件", "{path}에 알려진 사용 {count}건"
    ),
    "no-baseline": _t("there is no {path}", "{path} がありません", "{path}이(가) 없음"),
    "gate-found": _t("found in {path}", "{path} にあります", "{path}에 있음"),
    "no-gate": _t(
        "no CI file and no pre-commit hook runs `migrate scan ... --fail-on-new`",
        "`migrate scan ... --fail-on-new` を実行するCI設定もpre-commitもありません",
        "`migrate scan ... --fail-on-new`를 실행하는 CI 파일이나 pre-commit 훅이 없음",
    ),
    "no-new-uses": _t(
        "{files} file[|s:files], no new use", "{files} ファイル、新しい利用なし", "파일 {files}개, 새 사용 없음"
    ),
    "new-uses": _t(
        "{count} new use[|s:count], the first in {first}",
        "新しい利用 {count} 件、最初は {first}",
        "새 사용 {count}건, 첫 번째는 {first}",
    ),
    "service-ready": _t("{url} is ready", "{url} は稼働中", "{url} 준비됨"),
    "service-not-ready": _t("{url}: {error}", "{url}: {error}", "{url}: {error}"),
    "no-url": _t("sse.url is empty", "sse.url が空です", "sse.url이 비어 있음"),
    "compared": _t(
        "{count} feature[|s:count] passed, the oldest comparison is of {oldest}",
        "{count} 機能が合格、最も古い比較は {oldest}",
        "기능 {count}개 통과, 가장 오래된 비교는 {oldest}",
    ),
    "not-compared": _t("not compared: {features}", "未比較: {features}", "비교 안 됨: {features}"),
    "compare-failed": _t("failed: {features}", "不合格: {features}", "불합격: {features}"),
    "compare-unsure": _t("inconclusive: {features}", "判定できません: {features}", "판정 불가: {features}"),
    "moved": _t("{count} feature[|s:count] at 100 %", "{count} 機能が100 %", "기능 {count}개 100 %"),
    "not-moved": _t("not at 100 %: {features}", "100 %でない: {features}", "100 % 아님: {features}"),
    "no-features": _t("the configuration names no features", "設定に機能がありません", "설정에 기능이 없음"),
    "uses-none": _t("{files} file[|s:files], none left", "{files} ファイル、残りなし", "파일 {files}개, 남은 것 없음"),
    "no-files": _t(
        "no file was looked at; name your code with --source DIR",
        "調べたファイルがありません。--source DIR でコードの場所を指定してください",
        "살펴본 파일이 없음; --source DIR로 코드 위치를 지정하세요",
    ),
    "uses-left": _t(
        "{count} left, the first in {first}", "残り {count} 件、最初は {first}", "남은 것 {count}건, 첫 번째는 {first}"
    ),
    "uses-untraced": _t(
        "{count} left, the first in {first}", "残り {count} 件、最初は {first}", "남은 것 {count}건, 첫 번째는 {first}"
    ),
    "uses-by-hand": _t(
        "{count} left, the first in {first}", "残り {count} 件、最初は {first}", "남은 것 {count}건, 첫 번째는 {first}"
    ),
    "alarms-there": _t("{count} alarm[|s:count]: {what}", "アラート {count} 件: {what}", "알림 {count}개: {what}"),
    "no-alarms": _t(
        "no alarm can be made: the configuration names none of {keys}",
        "アラートを作れません: 設定に {keys} がありません",
        "알림을 만들 수 없음: 설정에 {keys}이(가) 없음",
    ),
    "there": _t("{what} is there", "{what} があります", "{what} 있음"),
    "not-there": _t("there is no {what}", "{what} がありません", "{what} 없음"),
    "outdated": _t(
        "{what} was written from another configuration",
        "{what} は別の設定から書かれました",
        "{what}은(는) 다른 설정으로 작성됨",
    ),
    "plan-covers": _t("the plan of {at} covers {count}", "{at} の計画に {count} 件", "{at} 계획에 {count}건 포함"),
    "plan-lacks": _t("the plan lacks {what}", "計画に {what} がありません", "계획에 {what} 없음"),
    "no-plan": _t("there is no plan yet", "計画がまだありません", "아직 계획이 없음"),
    "logs-set": _t(
        "{count} log group[ keeps what it has|s keep what they have:count], for {days} day[|s:days] at least",
        "{count} ロググループに保存期間（{days} 日以上）",
        "로그 그룹 {count}개에 보존 기간({days}일 이상)",
    ),
    "logs-unset": _t("kept for ever: {groups}", "無期限: {groups}", "무기한: {groups}"),
    "cost-known": _t(
        "{before} before, {after} after a month (USD)", "月額 {before} → {after}（USD）", "월 {before} → {after}(USD)"
    ),
    "cost-unmeasured": _t(
        "not measured: {what} (CloudWatch has no datapoint)",
        "未計測: {what}（CloudWatchにデータがありません）",
        "측정되지 않음: {what}(CloudWatch에 데이터 없음)",
    ),
    "cost-unmeasurable": _t(
        "the local AWS does not measure {what}",
        "ローカルのAWSは {what} を計測しません",
        "로컬 AWS는 {what}을(를) 측정하지 않음",
    ),
    "cost-higher": _t(
        "{after} a month is no saving over {before} (USD)",
        "月額 {after} は {before} より減っていません（USD）",
        "월 {after}은(는) {before} 대비 절감이 아님(USD)",
    ),
    "traffic-none": _t(
        "no connection and no message for {hours} hour[|s:hours]",
        "{hours} 時間、接続もメッセージもなし",
        "{hours}시간 동안 연결과 메시지 없음",
    ),
    "traffic-some": _t(
        "{connects} connection[|s:connects] and {messages} message[|s:messages] within {hours} hour[|s:hours]",
        "{hours} 時間以内に接続 {connects}、メッセージ {messages}",
        "{hours}시간 내 연결 {connects}, 메시지 {messages}",
    ),
    "rows-none": _t("no row is left", "行は残っていません", "남은 행 없음"),
    "rows-some": _t("rows are left in {tables}", "{tables} に行が残っています", "{tables}에 행이 남음"),
    "tee-off": _t("no function carries it", "どの関数にもありません", "어떤 함수에도 없음"),
    "tee-on": _t("still on {functions}", "まだ {functions} にあります", "아직 {functions}에 있음"),
    "all-gone": _t("API, tables and functions are gone", "API・テーブル・関数は削除済み", "API, 테이블, 함수 제거됨"),
    "still-there": _t("still there: {what}", "残っています: {what}", "아직 있음: {what}"),
    "blocked": _t(
        "phase {phase} cannot be closed: {items}",
        "フェーズ{phase}は完了にできません: {items}",
        "{phase}단계를 종료할 수 없음: {items}",
    ),
}


def text(name: str, language: str, values: Mapping[str, Any] | None = None) -> str:
    """A text with its values."""
    known = values or {}

    def chosen(found: re.Match[str]) -> str:
        one, more, of = found.groups()
        return one if str(known[of]) == "1" else more

    # The template's own alternatives only: a value may hold brackets as well.
    return _NUMBERED.sub(chosen, TEXTS[name][language]).format(**known)


def said_of(row: Row, language: str) -> list[str]:
    """What is known of an item, a line each: evidence, signature, and why neither counts."""
    lines = []
    if row.evidence is not None:
        lines.append(text(row.evidence.message, language, row.evidence.values))
    if row.signature is not None and row.reason != "stale-signature":
        name = "waived-by" if row.signature.kind == "waived" else "signed"
        values = {"by": row.signature.by, "at": utc_text(row.signature.at), "note": row.signature.note}
        lines.append(text(name, language, values))
    if row.reason:
        at = row.signature.at if row.reason == "stale-signature" and row.signature else None
        at = at if at is not None else row.evidence.taken_at if row.evidence else 0.0
        lines.append(text(row.reason, language, {"at": utc_text(at)}))
    return lines
