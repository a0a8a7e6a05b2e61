"""What the page calls the measures and what they are grouped by, in both languages."""

from __future__ import annotations

from collections.abc import Mapping

from feedback.measures.groups import Dimension, Measure

Words = tuple[str, str]
"""English, Chinese."""

BY: Mapping[Dimension, Words] = {
    "version": ("version", "版本"),
    "week": ("week", "周"),
    "topic": ("topic", "主题"),
    "language": ("language", "语言"),
    "alias": ("name", "名称"),
}
NAMES: Mapping[Measure, Words] = {
    "satisfaction": ("Satisfaction", "满意度"),
    "completion": ("Tasks completed", "任务完成率"),
    "accuracy": ("Accuracy", "准确性"),
    "fluency": ("Fluency", "流畅性"),
    "preference": ("Preferred", "偏好"),
}
VERSIONLESS = "newer"
"""Stands for the preference where it is not by version."""
MEANING: Mapping[str, Words] = {
    "satisfaction": ("Share of ratings that call the reply good", "认为回答好的评分所占比例"),
    "completion": ("Share of answers that say the task was done", "表示任务已完成的用户比例"),
    "accuracy": ("Mean grade by trained people, 1 to 4", "标注人员评分均值，1 至 4 分"),
    "fluency": ("Mean grade by trained people, 1 to 3", "标注人员评分均值，1 至 3 分"),
    "preference": (
        "Share of choices between two versions' drafts that this one won",
        "在两个版本的回答之间选择时，该版本被选中的比例",
    ),
    VERSIONLESS: (
        "Share of choices between two versions' drafts that the newer one won",
        "在两个版本的回答之间选择时，较新版本被选中的比例",
    ),
}
LANGUAGES: Mapping[str, Words] = {
    "zh": ("Chinese", "中文"), "en": ("English", "英文"), "ja": ("Japanese", "日文"), "ko": ("Korean", "韩文"),
    "de": ("German", "德文"), "fr": ("French", "法文"), "es": ("Spanish", "西班牙文"), "it": ("Italian", "意大利文"),
    "pt": ("Portuguese", "葡萄牙文"), "ru": ("Russian", "俄文"), "ar": ("Arabic", "阿拉伯文"),
    "latin": ("Another in Latin letters", "其他拉丁字母语言"), "other": ("Another", "其他"),
}  # fmt: skip
TOPICS: Mapping[str, Words] = {
    "code": ("Code", "编程"), "mathematics": ("Mathematics", "数学"), "translation": ("Translation", "翻译"),
    "writing": ("Writing", "写作"), "facts": ("Facts", "知识"), "other": ("Other", "其他"),
}  # fmt: skip
NOBODYS: Words = ("Another model", "其他模型")
UNKNOWN: Words = ("Not known yet", "尚未确定")


def name_of_value(language: str, by: Dimension, value: str) -> str:
    """What a version, a topic or a language is called; a value without a name is shown as it is."""
    names = {"language": LANGUAGES, "topic": TOPICS}.get(by, {})
    if not value:
        return (NOBODYS if by == "version" else UNKNOWN)[language == "zh"]
    return names[value][language == "zh"] if value in names else value
