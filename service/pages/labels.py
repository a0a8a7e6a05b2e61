"""What the pages call grades, flags, reasons and stages, in both languages. A value without a name is shown as is."""

from __future__ import annotations

from collections.abc import Mapping

from service.errors import Failure

Names = Mapping[object, tuple[str, str]]

LABELS: Mapping[str, Names] = {
    "accuracy": {
        1: ("Wrong", "错误"),
        2: ("Partly wrong", "部分错误"),
        3: ("Right, with flaws", "正确但有瑕疵"),
        4: ("Right", "正确"),
    },
    "fluency": {1: ("Hard to read", "不通顺"), 2: ("Readable", "基本通顺"), 3: ("Fluent", "流畅")},
    "flag": {
        "unsafe": ("Unsafe", "不安全"),
        "private-data": ("Private data", "含隐私"),
        "nonsense": ("Nonsense", "无意义"),
    },
    "skip": {
        "not-my-language": ("Not my language", "不是我熟悉的语言"),
        "not-my-topic": ("Not my topic", "不是我熟悉的领域"),
        "unclear": ("The question is unclear", "问题不清楚"),
        "too-long": ("Too long", "太长"),
        "upsetting": ("Upsetting", "内容令人不适"),
        "other": ("Something else", "其他原因"),
    },
    "stage": {
        "annotate": ("Waits for an annotation", "等待标注"),
        "review": ("Waits for review", "等待复核"),
        "return": ("Sent back", "已退回"),
        "expert": ("Waits for an expert", "等待专家"),
        "done": ("Done", "已完成"),
        "dropped": ("Dropped", "已弃用"),
    },
    "choice": {
        "disputed": ("Ratings disagree", "评分有分歧"),
        "low-rated": ("Rated low", "评分偏低"),
        "challenger": ("Another version's", "新版本的回答"),
        "uncertain": ("The model was unsure", "模型不确定"),
        "random": ("Drawn at random", "随机抽取"),
        "gold": ("Gold", "标准题"),
        "asked": ("Asked for", "指定"),
    },
    "did": {
        "annotated": ("Annotated", "标注"),
        "skipped": ("Skipped", "跳过"),
        "accept": ("Accepted", "采纳"),
        "mend": ("Mended", "修正"),
        "return": ("Sent back", "退回"),
        "escalate": ("Passed to an expert", "提交专家"),
        "object": ("Objected", "申诉"),
        "decide": ("Decided", "裁决"),
        "drop": ("Dropped", "弃用"),
    },
    "role": {
        "system": ("System", "系统"),
        "user": ("Person", "用户"),
        "assistant": ("Model", "模型"),
        "tool": ("Tool", "工具"),
    },
    "desk": {"annotate": ("Annotate", "标注"), "review": ("Review", "复核"), "expert": ("Decide", "裁决")},
    "tier": {"annotator": ("Annotator", "标注员"), "reviewer": ("Reviewer", "复核员"), "expert": ("Expert", "专家")},
}
"""Kind → value → (English, Chinese)."""


def name_of(language: str, kind: str, value: object) -> str:
    """What a value of a kind is called."""
    names = LABELS[kind].get(value)
    return str(value) if names is None else names[language == "zh"]


TROUBLES: Mapping[str, tuple[str, str]] = {
    "lease-lost": ("这一条已不在您手上：时间到了，或已由他人处理。", "您填写的内容已保留。请刷新页面，取下一条。"),
    "own-work": ("不能复核或裁决自己做过的条目。", "请刷新页面，取下一条。"),
    "unknown-item": ("这一条已不存在。", "请刷新页面，取下一条。"),
    "unknown-turn": ("这一条对话已被删除。", "请刷新页面，取下一条。"),
    "unknown-route": ("这个页面不存在。", ""),
    "unknown-image": ("图片已不存在。", ""),
    "invalid-annotation": ("标注还不完整，或有内容不合规定。", "请检查准确度、流畅度和修改内容。"),
    "invalid-review": ("这个决定还不完整。", "退回、提交专家、申诉和弃用都需要填写理由。"),
    "blocked-text": ("您写的内容被词库拦截了。", "请修改后再提交。"),
    "no-person": ("不知道您是谁。", "请填写名字，或使用带有使用者名称的密钥。"),
    "forbidden": ("您没有权限做这件事。", "请联系管理员。"),
    "rate-limited": ("操作太频繁了。", "请稍等片刻再试。"),
    "store-busy": ("网关正忙。", "请稍后再试。"),
    "store-unavailable": ("暂时无法保存。", "请稍后再试。"),
    "malformed-body": ("请求的格式不对。", "请刷新页面后再试。"),
    "invalid-input": ("表单内容不完整。", "请刷新页面后再试。"),
    "internal": ("网关出了意外的问题。", "请联系管理员；日志中有出错的位置。"),
}
"""Error code → what is wrong and how to mend it, in Chinese; in English an error says so itself."""


def sentence_of(language: str, failure: Failure) -> tuple[str, str]:
    """What is wrong, and how to mend it."""
    told = (failure.message, failure.mend)
    return TROUBLES.get(failure.code, told) if language == "zh" else told
