"use strict";
// The page's words in both languages; what comes from the service is shown as it is.

// `instead`: for a service that takes these.
const WORDS = {
  en: {
    title: "Ask with an image",
    switch: "中文",
    drop: "Drop an image anywhere",
    dropMore: "or paste it from the clipboard",
    take: "Ask with a photo",
    takeMore: "Take one, or choose it",
    choose: "Choose an image",
    sample: "Try a sample",
    send: "Ask",
    written: "input",
    sampleName: "sample.png",
    pasted: "pasted image",
    picture: "Image",
    pipelines: "Pipeline",
    result: "Result",
    again: "Again",
    another: "Another image",
    count: "Lines",
    roundTrip: "Round trip",
    roundTripHint: "From sending the image to having the whole answer, measured by this browser",
    server: "In the service",
    serverHint: "The service's own measure, from its Server-Timing header",
    answeredBy: "Answered by",
    lines: "Text",
    line: "Line {number}",
    score: "score {score}",
    copy: "Copy text",
    copyShort: "Copy",
    copied: "Copied",
    none: "No text was found in this image.",
    unseen: "This browser cannot show this image; the boxes are where the text is.",
    curl: "Ask from a shell",
    json: "The answer as JSON",
    retry: "Try again",
    reading: "Reading …",
    done: "{count} lines in {time}",
    answeredIn: "Answered in {time}",
    keyTitle: "This service asks for an API key",
    keyHint: "It stays in this page's memory and is forgotten when the page is closed.",
    keyRefused: "The service refused this key. Check it, or ask its operator for another.",
    keyOdd: "A key has only letters, digits and signs of ASCII, and no spaces.",
    keyUse: "Use this key",
    pass: "passed its accuracy gate",
    fail: "failed its accuracy gate",
    inconclusive: "its accuracy gate was inconclusive",
    failShort: "failed",
    inconclusiveShort: "inconclusive",
    digest: "digest",
    native: "native FP32",
    unreachable: "No answer",
    unreachableMessage: "The service cannot be reached, or it closed the connection.",
    unreachableRemedy: "Check that it runs, then try again.",
    strange: "This is not the service's answer",
    strangeMessage: "What came back is not in the form that the service uses.",
    strangeRemedy: "See what stands between this page and the service: a proxy, perhaps.",
    unreadable: "This file cannot be read",
    unreadableMessage: "It is a folder, or it was moved or changed.",
    unreadableRemedy: "Choose an image file.",
    tooLarge: "This image is too large",
    tooLargeMessage: "It has {size}; the service takes at most {limit}.",
    tooLargeRemedy: "Send a smaller image, or compress it more.",
    status: {
      400: "The service could not use this image",
      401: "An API key is needed",
      403: "Not allowed",
      404: "Not found",
      408: "The image took too long to arrive",
      413: "This image is too large",
      415: "This is not an image",
      422: "The service could not use this image",
      429: "The service is busy",
      500: "The service failed at this image",
      503: "The service is not ready",
      504: "The service took too long",
    },
    instead: {
      text: {
        title: "Ask with a text",
        drop: "Write a text",
        dropMore: "or drop a text file anywhere",
        take: "Write a text",
        takeMore: "and ask",
        another: "Another text",
        written: "text",
        unreadableRemedy: "Choose a text file.",
        tooLarge: "This text is too large",
        tooLargeRemedy: "Send a shorter text.",
      },
      json: {
        title: "Ask with JSON",
        drop: "Write a JSON object or array",
        dropMore: "or drop a JSON file anywhere",
        take: "Write a JSON object or array",
        takeMore: "and ask",
        another: "Other inputs",
        written: "inputs",
        unreadableRemedy: "Choose a JSON file.",
        tooLarge: "These inputs are too large",
        tooLargeRemedy: "Send fewer values.",
      },
    },
    otherStatus: {
      400: "The service could not use this",
      408: "The request took too long to arrive",
      413: "This is too large",
      415: "The service does not take this",
      422: "The service could not use this",
      500: "The service failed at this",
    },
    stage: {
      queue: "queue", decode: "decoding", preprocess: "preparation", inference: "inference",
      postprocess: "finishing", rest: "rest of the service", network: "network, browser",
    },
  },
  zh: {
    title: "用图片提问",
    switch: "English",
    drop: "将图片拖到页面任意位置",
    dropMore: "或直接从剪贴板粘贴",
    take: "用照片提问",
    takeMore: "拍一张，或从相册选择",
    choose: "选择图片",
    sample: "试试示例",
    send: "提交",
    written: "输入",
    sampleName: "示例.png",
    pasted: "粘贴的图片",
    picture: "图片",
    pipelines: "流水线",
    result: "识别结果",
    again: "再识别一次",
    another: "换一张图片",
    count: "行数",
    roundTrip: "往返耗时",
    roundTripHint: "由浏览器测得：从发出图片到收完结果",
    server: "服务端耗时",
    serverHint: "由服务端测得，来自 Server-Timing 响应头",
    answeredBy: "识别模型",
    lines: "文字",
    line: "第 {number} 行",
    score: "置信度 {score}",
    copy: "复制文字",
    copyShort: "复制",
    copied: "已复制",
    none: "这张图片中没有找到文字。",
    unseen: "浏览器无法显示这张图片；方框标出了文字所在的位置。",
    curl: "在命令行中调用",
    json: "JSON 结果",
    retry: "重试",
    reading: "正在识别…",
    done: "{count} 行，用时 {time}",
    answeredIn: "用时 {time}",
    keyTitle: "此服务需要 API 密钥",
    keyHint: "密钥只保存在本页内存中，关闭页面即清除。",
    keyRefused: "服务拒绝了这个密钥。请检查，或向服务管理员索取新的密钥。",
    keyOdd: "密钥只能包含 ASCII 字母、数字和符号，不能有空格。",
    keyUse: "使用此密钥",
    pass: "已通过精度检验",
    fail: "未通过精度检验",
    inconclusive: "精度检验尚无定论",
    failShort: "未通过",
    inconclusiveShort: "尚无定论",
    digest: "摘要",
    native: "原生 FP32",
    unreachable: "没有响应",
    unreachableMessage: "无法连接服务，或连接被服务关闭。",
    unreachableRemedy: "请确认服务正在运行，然后重试。",
    strange: "响应并非来自此服务",
    strangeMessage: "收到的内容不是此服务使用的格式。",
    strangeRemedy: "请检查本页与服务之间的环节，例如代理。",
    unreadable: "无法读取此文件",
    unreadableMessage: "它可能是文件夹，或者已被移动或修改。",
    unreadableRemedy: "请选择一个图片文件。",
    tooLarge: "图片过大",
    tooLargeMessage: "图片为 {size}，服务最多接受 {limit}。",
    tooLargeRemedy: "请使用更小的图片，或提高压缩率。",
    status: {
      400: "服务无法处理这张图片",
      401: "需要 API 密钥",
      403: "没有权限",
      404: "未找到",
      408: "图片上传超时",
      413: "图片过大",
      415: "这不是图片",
      422: "服务无法处理这张图片",
      429: "服务繁忙",
      500: "服务处理这张图片时出错",
      503: "服务尚未就绪",
      504: "服务处理超时",
    },
    instead: {
      text: {
        title: "用文本提问",
        drop: "输入一段文本",
        dropMore: "或将文本文件拖到页面任意位置",
        take: "输入一段文本",
        takeMore: "然后提交",
        another: "换一段文本",
        written: "文本",
        unreadableRemedy: "请选择一个文本文件。",
        tooLarge: "文本过大",
        tooLargeRemedy: "请使用更短的文本。",
      },
      json: {
        title: "用 JSON 提问",
        drop: "输入一个 JSON 对象或数组",
        dropMore: "或将 JSON 文件拖到页面任意位置",
        take: "输入一个 JSON 对象或数组",
        takeMore: "然后提交",
        another: "换一组输入",
        written: "输入",
        unreadableRemedy: "请选择一个 JSON 文件。",
        tooLarge: "输入过大",
        tooLargeRemedy: "请减少数值的数量。",
      },
    },
    otherStatus: {
      400: "服务无法处理该请求",
      408: "请求上传超时",
      413: "请求过大",
      415: "服务不接受这种内容",
      422: "服务无法处理该请求",
      500: "服务处理该请求时出错",
    },
    stage: {
      queue: "排队", decode: "解码", preprocess: "预处理", inference: "推理",
      postprocess: "后处理", rest: "服务其他", network: "网络与浏览器",
    },
  },
};

const LANGUAGE_KEY = "demo-language";
let accepts = "image";
let language = (remembered(LANGUAGE_KEY) || navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";

// The words for `key`, with `{name}` replaced by values.name; for what this service takes, where there are others.
function say(key, values = {}) {
  return (WORDS[language].instead[accepts]?.[key] ?? WORDS[language][key]).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

function milliseconds(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

function bytes(value) {
  if (value >= 1e6) return `${(value / 1048576).toFixed(1)} MiB`;
  return value >= 1000 ? `${(value / 1024).toFixed(0)} KiB` : `${value} B`;
}

// Browsers may forbid storage altogether.
function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then it is asked for again.
  }
}
