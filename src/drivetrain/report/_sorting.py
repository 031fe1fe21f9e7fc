"""The one script of the pages: a click on a header sorts its table."""

from __future__ import annotations

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.querySelectorAll("thead th")], body = table.querySelector("tbody");
  const value = (row, column) => {
    const cell = row.cells[column].textContent.trim(), parsed = parseFloat(cell.replace(/,/g, ""));
    return Number.isNaN(parsed) ? cell : parsed;
  };
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      [...body.rows].sort((one, two) => {
        const a = value(one, column), b = value(two, column);
        if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
        const order = typeof a === "number" ? a - b : a.localeCompare(b);
        return up ? order : -order;
      }).forEach(row => body.append(row));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") sort(); });
  });
}
"""
