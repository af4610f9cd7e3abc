
"use strict";
(function () {
  var svg = document.querySelector("svg"), out = document.getElementById("read-out");
  var d = JSON.parse(document.getElementById("data").textContent);
  function say(v) { return v === null ? "undefined" : v; }
  function cell(u, v) {
    var i = Math.floor(v * d.Rows.length), j = Math.floor(u * d.Cols.length);
    var name = d.Rows[i] + (d.Cols[j] ? " \u00d7 " + d.Cols[j] : "");
    return name + ": " + say(d.Values[i * d.Cols.length + j]);
  }
  function nearest(u) {
    var x = d.Low + u * (d.High - d.Low), best = null;
    d.Series.forEach(function (s) {
      s.X.forEach(function (p) { if (best === null || Math.abs(p - x) < Math.abs(best - x)) best = p; });
    });
    var all = d.Series.map(function (s) { var k = s.X.indexOf(best); return k < 0 ? "" : s.Name + " " + say(s.Y[k]); });
    all = all.filter(Boolean);
    return (d.XLabel || "x") + " " + best + ": " + all.slice(0, 12).join(", ") + (all.length > 12 ? ", \u2026" : "");
  }
  svg.addEventListener("pointermove", function (e) {
    var p = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse());
    var u = (p.x - d.X) / d.W, v = (p.y - d.Y) / d.H;
    out.textContent = u < 0 || u >= 1 || v < 0 || v >= 1 ? "" : d.Kind === "map" ? cell(u, v) : nearest(u);
  });
})();
