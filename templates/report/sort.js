// Tables are sorted by a click on a head; without JavaScript they stay as they are.
for (const head of document.querySelectorAll(".sortable thead th")) {
  head.dataset.sortable = "";
  head.tabIndex = 0;
  const sort = () => {
    const falling = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.cells[head.cellIndex];
    const compare = (one, other) => {
      const [a, b] = [key(one), key(other)];
      const numbers = [a.dataset.sort, b.dataset.sort];
      if (numbers.some((value) => value !== undefined)) {
        // What has no figure stays last, whichever way it is sorted.
        if (numbers[0] === undefined) return 1;
        if (numbers[1] === undefined) return -1;
        return (falling ? -1 : 1) * (Number(numbers[0]) - Number(numbers[1]));
      }
      return (falling ? -1 : 1) * a.textContent.trim().localeCompare(b.textContent.trim());
    };
    body.append(...[...body.rows].sort(compare));
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
