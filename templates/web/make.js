// Making things to show. Text is only ever added as text: what a model reads, or a file is called, is no HTML.

function find(id) {
  return document.getElementById(id);
}

function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without TLS, and not on this machine, a page has no clipboard; what is selected can be copied all the same.
  const area = make("textarea", { class: "hidden", readonly: "" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// A picture with text to read, a little askew, drawn here so that nothing has to be fetched.
function sampleImage() {
  const canvas = make("canvas", { width: 1000, height: 660 });
  const pen = canvas.getContext("2d");
  const family = '"Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "Noto Sans", sans-serif';
  const write = (text, x, y, size, align = "left", weight = "400", ink = "#20242a") => {
    pen.font = `${weight} ${size}px ${family}`;
    pen.textAlign = align;
    pen.fillStyle = ink;
    pen.fillText(text, x, y);
  };
  const back = pen.createLinearGradient(0, 0, 1000, 660);
  back.addColorStop(0, "#8a7561");
  back.addColorStop(1, "#5d4c3e");
  pen.fillStyle = back;
  pen.fillRect(0, 0, 1000, 660);
  pen.translate(500, 330);
  pen.rotate(-0.035);
  pen.shadowColor = "rgba(0, 0, 0, .45)";
  pen.shadowBlur = 40;
  pen.shadowOffsetY = 14;
  pen.fillStyle = "#fbf9f4";
  pen.fillRect(-380, -275, 760, 550);
  pen.shadowColor = "transparent";
  write("山间茶馆", 0, -190, 62, "center", "700");
  write("Mountain Tea House", 0, -130, 32, "center", "400", "#5c636c");
  const rows = [["龙井茶 Longjing tea", "48.00"], ["桂花糕 Osmanthus cake", "26.00"], ["合计 TOTAL", "74.00"]];
  rows.forEach(([name, price], number) => {
    const last = number === rows.length - 1;
    const y = -50 + number * 72 + (last ? 14 : 0);
    write(name, -320, y, 36, "left", last ? "700" : "400");
    write(price, 320, y, 36, "right", last ? "700" : "400");
  });
  pen.fillStyle = "#c9c4b8";
  pen.fillRect(-320, 54, 640, 2);
  write("2024-05-18 14:32   No. 0417", 0, 205, 28, "center", "400", "#5c636c");
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(new File([blob], say("sampleName"), { type: "image/png" })));
  });
}
