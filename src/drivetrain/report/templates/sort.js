for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.querySelectorAll("thead th")], body = table.querySelector("tbody");
  const number = /^[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?(?![\w-]|\.\d)/i;
  const value = (row, column) => {
    const cell = row.cells[column].textContent.trim(), found = cell.match(number);
    return found ? parseFloat(found[0].replaceAll(",", "")) : cell;
  };
  const isEmpty = value => ["", "\u2013"].includes(value);
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.title = "sort by this column";
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      [...body.rows].sort((one, two) => {
        const a = value(one, column), b = value(two, column);
        if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
        if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
        const order = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
        return up ? order : -order;
      }).forEach(row => body.append(row));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => {
      if ([" ", "Enter"].includes(event.key)) { event.preventDefault(); sort(); }
    });
  });
}
