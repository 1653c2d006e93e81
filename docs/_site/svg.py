"""A drawing in plain SVG whose colours turn with the page, light or dark."""

from collections.abc import Sequence
from html import escape

Point = tuple[float, float]

# What a class is called, in the light and in the dark.
COLOURS = {
    "ink": ("#2b2f36", "#dfe3ea"),
    "warm": ("#c8501c", "#ff9b66"),
    "cool": ("#2a66ad", "#84b8f4"),
    "mixed": ("#7b3fa0", "#cf9cf0"),
    "grey": ("#b4bac4", "#666f7d"),
    "faint": ("#d5d9e0", "#434b57"),
}
_STYLE = """
text { font: 15px system-ui, sans-serif; fill: var(--ink) }
.small { font-size: 13px }
.strong { font-weight: 600 }
.line { fill: none; stroke-width: 2; stroke-linecap: round }
.dashed { stroke-dasharray: 3 5 }
.thin { stroke: var(--ink); stroke-width: 1; fill: none }
.box { fill: var(--ground); stroke: var(--ink); stroke-width: 1.5 }
.soft { fill: var(--soft) }
"""


def _style() -> str:
    def variables(tone: int) -> str:
        named = {name: pair[tone] for name, pair in COLOURS.items()}
        grounds = {"soft": ("#e3e9f2", "#39424f")[tone], "ground": ("#ffffff", "#1f242c")[tone]}
        return "".join(f"--{name}: {value}; " for name, value in {**named, **grounds}.items())

    uses = "".join(
        f".line.{name} {{ stroke: var(--{name}) }}\n.dot.{name}, text.{name}, .head.{name} {{ fill: var(--{name}) }}\n"
        for name in COLOURS
    )
    dark = f"@media (prefers-color-scheme: dark) {{ svg {{ {variables(1)}}} }}"
    return f"svg {{ {variables(0)}}}\n{dark}{_STYLE}{uses}"


class Drawing:
    """Shapes, one after the other; `title` is read to those who cannot see them."""

    def __init__(self, width: int, height: int, title: str):
        self.size, self.title = (width, height), title
        self.shapes: list[str] = []

    def text(self, x: float, y: float, words: str, kind: str = "ink", anchor: str = "middle") -> None:
        """Words whose base line is at y."""
        self.shapes.append(
            f'<text x="{x:.4g}" y="{y:.4g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def line(self, points: Sequence[Point], kind: str = "ink") -> None:
        """A line through points."""
        way = " ".join(f"{x:.4g},{y:.4g}" for x, y in points)
        kinds = kind if kind == "thin" else f"line {kind}"
        self.shapes.append(f'<polyline points="{way}" class="{kinds}"/>')

    def area(self, points: Sequence[Point], kind: str) -> None:
        """A filled polygon."""
        way = " ".join(f"{x:.4g},{y:.4g}" for x, y in points)
        self.shapes.append(f'<polygon points="{way}" class="{kind}"/>')

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        """A filled circle."""
        self.shapes.append(f'<circle cx="{x:.4g}" cy="{y:.4g}" r="{radius:g}" class="dot {kind}"/>')

    def ring(self, x: float, y: float, radius: float, words: str, kind: str = "") -> None:
        """A circle with words in it."""
        self.shapes.append(f'<circle cx="{x:.4g}" cy="{y:.4g}" r="{radius:g}" class="box {kind}"/>')
        self.text(x, y + 4.5, words, "small")

    def box(self, x: float, y: float, width: float, height: float, words: str, kind: str = "") -> None:
        """A box with words in it."""
        place = f'x="{x:.4g}" y="{y:.4g}" width="{width:g}" height="{height:g}"'
        self.shapes.append(f'<rect {place} rx="6" class="box {kind}"/>')
        self.text(x + width / 2, y + height / 2 + 5, words, "small")

    def arrow(self, x: float, y: float, to_x: float, to_y: float, kind: str = "ink", dashed: bool = False) -> None:
        """A straight line with a head."""
        self._path(f"M{x:.4g} {y:.4g} L{to_x:.4g} {to_y:.4g}", kind, dashed)
        self._head((to_x, to_y), (to_x - x, to_y - y), kind)

    def curve(
        self, x: float, y: float, ax: float, ay: float, bx: float, by: float, to_x: float, to_y: float, kind: str,
        dashed: bool = False,
    ) -> None:  # fmt: skip
        """A curve with two handles and a head."""
        way = f"M{x:.4g} {y:.4g} C{ax:.4g} {ay:.4g} {bx:.4g} {by:.4g} {to_x:.4g} {to_y:.4g}"
        self._path(way, kind, dashed)
        self._head((to_x, to_y), (to_x - bx, to_y - by), kind)

    def _path(self, way: str, kind: str, dashed: bool) -> None:
        self.shapes.append(f'<path d="{way}" class="line {kind}{" dashed" if dashed else ""}"/>')

    def _head(self, tip: Point, along: Point, kind: str) -> None:
        length = (along[0] ** 2 + along[1] ** 2) ** 0.5
        ux, uy = 9 * along[0] / length, 9 * along[1] / length
        base = tip[0] - ux, tip[1] - uy
        corners = tip, (base[0] - uy / 2, base[1] + ux / 2), (base[0] + uy / 2, base[1] - ux / 2)
        way = " ".join(f"{x:.4g},{y:.4g}" for x, y in corners)
        self.shapes.append(f'<polygon points="{way}" class="head {kind}"/>')

    def text_of_file(self) -> str:
        """The SVG file."""
        width, height = self.size
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
        return "\n".join(
            [head, f"<title>{escape(self.title)}</title>", f"<style>{_style()}</style>", *self.shapes, "</svg>", ""]
        )
