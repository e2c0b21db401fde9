"""The pipeline's own dataset: sentences put together by chance from parts written for it. They have no labels."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

_SPLITS = ("calibration", "search", "validation")

# Each name in braces is replaced by one of its parts.
_SENTENCES = (
    "{人}{时}在{地}{做}。",
    "{人}说，{地}的{物}比去年{好}多了。",
    "{时}，{人}和{人}一起去{地}{做}，路上遇到了{人}。",
    "请问{地}怎么走？我想{做}。",
    "{机构}{时}宣布，将在{地}投资{数}{元}，用于{事}。",
    "据{机构}统计，{地}的{事}同比增长{百分}，其中{物}最为{好}。",
    "“{物}真{好}！”{人}笑着对{人}说。",
    "因为{事}，{人}不得不把{物}卖给了{机构}。",
    "{技术}可以用来{做}，但{技术}还不能{做}。",
    "{机构}的{人}认为，{技术}的关键在于{事}；{人}则不同意。",
    "这本书一共{数}页，{人}只用{数}天就读完了。",
    "订单号{号}，{物}{数}件，合计{数}{元}，{时}送到{地}。",
    "{人}用{技术}写了一个程序，运行{数}次，结果都是{百分}。",
    "{地}{时}下了一场大雨，{事}受到影响，{机构}正在处理。",
    "谁也没想到，{人}竟然会在{地}{做}！",
    "{技术}、{技术}和{技术}，哪一个更{好}？",
    "会議將於{时}在{地}舉行，{人}請大家準備{物}。",
    "{人}：{物}多少钱？店主：{数}{元}，不还价。",
    "研究生命的起源是{机构}的长期目标，{人}为此工作了{数}年。",
    "从{地}到{地}，乘火车要{数}个小时，坐飞机只要{数}个小时。",
)
_PARTS: Mapping[str, Sequence[str]] = {
    "人": (
        *(
            "小王",
            "李明",
            "张教授",
            "我的邻居",
            "一位老人",
            "司马先生",
            "外公",
            "两个孩子",
            "售货员",
            "欧阳医生",
        ),
        *("新来的同事", "Tom", "刘晓红", "船长", "她妹妹", "记者", "那位工程师", "王老师的学生"),
    ),
    "时": (
        *("昨天下午", "2024年5月18日", "每天早上", "上个星期", "春节期间", "八点半", "刚才", "明年三月"),
        *("二十世纪初", "12:30", "去年冬天", "傍晚"),
    ),
    "地": (
        *("北京", "图书馆", "黄浦江边", "火车站", "乌鲁木齐", "学校门口", "长江大桥", "山间的茶馆", "纽约"),
        *("公司楼下", "菜市场", "国家博物馆", "海南岛", "故宫", "村子里", "南京市"),
    ),
    "做": (
        *("喝茶", "看电影", "学习中文", "买东西", "散步", "修理自行车", "讨论问题", "预测天气", "翻译文章"),
        *("开会", "等朋友", "拍照片", "识别文字", "做实验", "下象棋", "唱歌跳舞"),
    ),
    "物": (
        *(
            "龙井茶",
            "手机",
            "笔记本电脑",
            "桂花糕",
            "旧家具",
            "这幅画",
            "苹果",
            "新能源汽车",
            "羽绒服",
            "自行车",
        ),
        *("三明治", "说明书", "中药材", "大白菜", "电子产品", "毛笔"),
    ),
    "好": ("好", "便宜", "漂亮", "受欢迎", "方便", "有意思", "可靠", "突出", "贵", "结实"),
    "机构": (
        *(
            "国家统计局",
            "这家公司",
            "清华大学",
            "人民医院",
            "世界卫生组织",
            "市政府",
            "ABC公司",
            "中国科学院",
        ),
        *("出版社", "环保部门"),
    ),
    "数": ("三", "12", "一百二十", "7.5", "两", "３８", "十几", "1,024", "几千", "四分之三"),
    "元": ("元", "万元", "亿元人民币", "美元", "块钱"),
    "百分": ("5.2%", "百分之三十", "０．８％", "一倍", "12个百分点"),
    "事": (
        *("基础设施建设", "交通", "教育改革", "天气变化", "产品质量", "人才培养", "环境保护", "进出口贸易"),
        *("数据安全", "市场需求", "身体健康"),
    ),
    "技术": (
        *("深度学习", "机器翻译", "量子计算", "Python", "循环神经网络", "语音识别", "INT8量化", "卫星导航"),
        *("基因工程", "5G网络"),
    ),
    "号": ("A1024", "No.0417", "20240518", "ＺＨ－７７"),
}
# Of a text.
_MOST_SENTENCES = 4


def build(directory: Path, options: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """Write `texts/`, UTF-8, and a list for each split; no text stands in two.

    Args:
        options: `seed`, and `counts` of each split.
    """
    chance, counts = random.Random(options["seed"]), options["counts"]
    total = sum(counts[split] for split in _SPLITS)
    written: set[str] = set()
    (directory / "texts").mkdir()
    for split in _SPLITS:
        names = [f"texts/{split}_{number:04d}.txt" for number in range(counts[split])]
        for name in names:
            (directory / name).write_text(_new(chance, written), encoding="utf-8")
            progress(len(written), total)
        (directory / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _new(chance: random.Random, written: set[str]) -> str:
    """A text that is in `written` only afterwards: a few sentences, in one line or several."""
    while True:
        sentences = [
            _filled(chance, chance.choice(_SENTENCES)) for _ in range(chance.randint(1, _MOST_SENTENCES))
        ]
        text = chance.choice(("", "", "\n")).join(sentences)
        if text not in written:
            written.add(text)
            return text


def _filled(chance: random.Random, sentence: str) -> str:
    """`sentence` with a part in the place of each name."""
    before, opened, rest = sentence.partition("{")
    if not opened:
        return before
    name, _, rest = rest.partition("}")
    return before + chance.choice(_PARTS[name]) + _filled(chance, rest)
