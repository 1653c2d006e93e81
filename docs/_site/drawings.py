"""The schematic drawings of the documentation, as plain SVG: `make drawings` writes them to docs/images.

The ideas are those of paper A's figures 1, 2 and 5; the drawings are Lehr's own. Their colours turn with the page,
light or dark.
"""

import math
from itertools import pairwise
from pathlib import Path

from svg import Drawing

IMAGES = Path(__file__).parent.parent / "images"


def annealing() -> Drawing:
    """Three moments of an anneal: what p(s) covers of the energies while T falls."""
    drawing = Drawing(760, 260, "The variational distribution at high, middle and low temperature")

    def energy(x: float) -> float:
        return 0.5 - 0.28 * math.cos(2 * math.pi * (x - 0.7)) + 0.2 * math.cos(6 * math.pi * (x - 0.7) + math.pi)

    grid = [n / 120 for n in range(121)]
    for number, (title, temperature) in enumerate((("high T", 3.0), ("on the way", 0.18), ("T near 0", 0.03))):
        left = 20 + 250 * number
        weights = [math.exp(-energy(x) / temperature) for x in grid]
        top = max(weights)
        # One density in all panels would be a flat line in the first, so each has its own scale.
        height = (26.0, 52.0, 84.0)[number]
        shape = [(left + 220 * x, 120 - height * w / top) for x, w in zip(grid, weights, strict=True)]
        drawing.area([(left, 120), *shape, (left + 220, 120)], "soft")
        drawing.line(shape, "cool")
        drawing.line([(left + 220 * x, 232 - 75 * energy(x)) for x in grid], "ink")
        total = sum(weights)
        share, wanted = 0.0, 0.5
        for x, weight in zip(grid, weights, strict=True):
            share += 9 * weight / total
            while share > wanted and wanted < 9:
                drawing.dot(left + 220 * x, 232 - 75 * energy(x) - 6, 4, "warm")
                wanted += 1
        drawing.text(left + 110, 24, title, "strong")
        if number < 2:
            drawing.arrow(left + 225, 120, left + 245, 120)
    drawing.text(24, 86, "p(s)", "cool", "start")
    drawing.text(24, 150, "H(s)", "ink", "start")
    drawing.text(380, 252, "dots: samples, drawn independently; the network is trained on F = ⟨H⟩ - T S", "small")
    return drawing


def protocols() -> Drawing:
    """The four methods as ways through the plane of temperature and field."""
    drawing = Drawing(460, 330, "The four protocols as paths in the plane of temperature and transverse field")
    x0, y0 = 90.0, 270.0
    drawing.arrow(x0, y0, 430, y0, "ink")
    drawing.arrow(x0, y0, x0, 30, "ink")
    drawing.text(425, 292, "field Γ", "ink", "end")
    drawing.text(78, 44, "T", "ink", "end")
    drawing.arrow(x0, 70, x0, y0 - 14, "warm")
    drawing.text(102, 76, "VCA: a temperature", "warm", "start")
    drawing.arrow(385, y0, x0 + 14, y0, "cool")
    drawing.text(385, 256, "VQA: a field", "cool", "end")
    drawing.arrow(330, 100, x0 + 11, y0 - 10, "mixed")
    drawing.text(338, 96, "RVQA: both", "mixed", "start")
    drawing.dot(x0, y0, 7, "ink")
    drawing.text(x0 - 4, 300, "CQO stays here from the start", "small", "start")
    drawing.text(x0 - 4, 320, "at the origin the energy H alone decides", "small", "start")
    return drawing


def steps() -> Drawing:
    """The staircase of one anneal: warm-up, annealing steps of some gradient steps, and the final samples."""
    drawing = Drawing(680, 290, "Temperature against gradient steps: warm-up, annealing steps, final samples")
    x0, y0, width, drop = 60.0, 235.0, 46.0, 19.0
    drawing.arrow(x0, y0, 655, y0, "ink")
    drawing.arrow(x0, y0, x0, 24, "ink")
    drawing.text(50, 38, "T or Γ", "ink", "end")
    drawing.text(655, 258, "gradient steps", "small", "end")
    points = [(x0, 54.0), (x0 + 130, 54.0)]
    for number in range(9):
        x = x0 + 130 + width * number
        points += [(x, 54 + drop * (number + 1)), (x + width, 54 + drop * (number + 1))]
    drawing.line(points, "warm")
    for x, y in [(x0 + 12 * n + 5, 54.0) for n in range(11)]:
        drawing.dot(x, y, 2.6, "cool")
    for number in range(9):
        for part in range(4):
            drawing.dot(x0 + 136 + width * number + 11.3 * part, 54 + drop * (number + 1), 2.6, "cool")
    drawing.text(x0 + 65, 42, "warm-up", "strong")
    drawing.line([(x0 + 130 + 1.5 * width, 86), (x0 + 130 + 2.2 * width, 68)], "thin")
    drawing.text(x0 + 136 + 2.2 * width, 62, "one annealing step: the controls stand still,", "small", "start")
    drawing.text(x0 + 136 + 2.2 * width, 79, "the parameters take some gradient steps (dots)", "small", "start")
    drawing.text(x0 + 130 + 9 * width + 6, 220, "samples", "strong", "start")
    drawing.text(x0 + 300, 280, "each gradient step: draw M samples, weigh them by F, update", "small")
    return drawing


def chain() -> Drawing:
    """A recurrent network along a chain, unrolled, with what it hears of the Hamiltonian."""
    drawing = Drawing(720, 300, "A recurrent network draws the spins of a chain one after the other")
    for number, name in enumerate(("1", "2", "3", "N")):
        x = 110 + 165 * number + (15 if number == 3 else 0)
        drawing.box(x - 42, 130, 84, 46, "cell", "soft")
        drawing.arrow(x, 130, x, 92)
        drawing.text(x + 8, 114, f"h{_low(name)}", "small", "start")
        drawing.box(x - 54, 56, 100, 34, f"p(s{_low(name)} | " + ("·)" if number == 0 else "before)"))
        drawing.arrow(x, 56, x, 40, "warm")
        drawing.ring(x, 26, 13, f"s{_low(name)}")
        drawing.arrow(x, 232, x, 178, "mixed")
        if number < 3:
            gap = number == 2
            drawing.arrow(x + 42, 153, x + (138 if gap else 122), 153, "ink", dashed=gap)
            drawing.text(x + 56, 146, "h", "small")
            drawing.curve(
                x + 14, 26, x + 74, 30, x + 62, 166, x + (138 if gap else 122), 166, "warm", dashed=gap
            )  # fmt: skip
    drawing.arrow(20, 153, 66, 153)
    drawing.text(40, 146, "0", "small")
    drawing.text(360, 252, "what closes here of the Hamiltonian, and the temperature", "mixed")
    drawing.text(
        360, 282, "p(s) is the product of the conditionals: normalised, and sampled without a Markov chain", "small"
    )
    return drawing


def lattice() -> Drawing:
    """The zigzag of a two-dimensional recurrent network, and the recursion at one site."""
    drawing = Drawing(760, 350, "A two-dimensional recurrent network: the zigzag path, and the recursion at one site")
    step, left, top = 62.0, 60.0, 70.0
    drawing.text(153, 28, "the order of drawing", "strong")
    sites = [(row, column if row % 2 == 0 else 3 - column) for row in range(4) for column in range(4)]
    for row in range(4):
        for column in range(4):
            if row < 3:
                drawing.line(
                    [(left + step * column, top + step * row), (left + step * column, top + step * (row + 1))], "faint"
                )
    for (r, c), (R, C) in pairwise(sites):
        dx, dy = 17 * (C - c), 17 * (R - r)
        drawing.arrow(left + step * c + dx, top + step * r + dy, left + step * C - dx, top + step * R - dy, "warm")
    for number, (row, column) in enumerate(sites):
        drawing.ring(left + step * column, top + step * row, 15, str(number + 1))
    x, y = 560.0, 190.0
    drawing.text(x, 28, "the recursion at site (i, j)", "strong")
    drawing.box(x - 46, y - 26, 92, 52, "cell", "soft")
    drawing.arrow(x - 150, y, x - 48, y, "cool")
    drawing.text(x - 154, y - 12, "h, s of (i, j-1)", "small", "middle")
    drawing.text(x - 154, y + 20, "drawn just before", "small", "middle")
    drawing.arrow(x, 84, x, y - 28, "cool")
    drawing.text(x, 74, "h, s of (i-1, j)", "small")
    drawing.text(x, 58, "the row above", "small")
    drawing.arrow(x + 46, y, x + 98, y)
    drawing.text(x + 130, y - 4, "h of (i, j)", "small")
    drawing.text(x + 130, y + 14, "to both", "small")
    drawing.arrow(x, y + 26, x, y + 62)
    drawing.text(x, y + 80, "p(s of (i, j) | all drawn before)", "ink")
    drawing.text(x, y + 116, "every other row runs backwards: there the", "small")
    drawing.text(x, y + 132, "neighbour drawn just before is (i, j+1)", "small")
    drawing.text(153, 318, "h: memory of the network;  s: spins", "small")
    return drawing


def dilated() -> Drawing:
    """A dilated recurrent network: layers whose memories are 1, 2 and 4 spins old."""
    drawing = Drawing(720, 340, "A dilated recurrent network of three layers over eight spins")
    step, left = 76.0, 120.0
    rows = (262.0, 190.0, 118.0)
    for layer, y in enumerate(rows):
        reach = 2**layer
        drawing.text(20, y + 5, f"layer {layer + 1}", "small", "start")
        for site in range(8):
            x = left + step * site
            if site + reach < 8:
                if layer == 0:
                    drawing.arrow(x + 14, y, x + step - 15, y, "cool")
                else:
                    end = x + step * reach
                    lift = 22 + 8 * layer
                    drawing.curve(x + 11, y - 9, x + 30, y - lift, end - 30, y - lift, end - 11, y - 9, "cool")
            drawing.arrow(x, y - 14, x, y - (56 if layer < 2 else 40), "ink")
    for y in rows:
        for site in range(8):
            drawing.ring(left + step * site, y, 14, "h", "soft")
    for site in range(8):
        x = left + step * site
        drawing.arrow(x, 304, x, 278, "warm")
        drawing.text(x, 320, f"s{_low(str(site))}" if site else "0", "warm")
        drawing.text(x, 68, f"p(s{_low(str(site + 1))})", "ink")
    drawing.text(20, 321, "spin before", "small", "start")
    drawing.text(386, 28, "layer l hears the memory of 2^(l-1) spins ago: spin 1 is log N steps from spin N", "small")
    return drawing


def dissection() -> Drawing:
    """The default for pairs: a separator first, then its two sides, which do not need each other."""
    drawing = Drawing(760, 350, "Nested dissection of a lattice: separators are drawn first, then their two sides")
    step, left, top = 36.0, 40.0, 66.0
    drawing.text(148, 30, "a 7x7 lattice", "strong")
    for n in range(7):
        drawing.line([(left, top + step * n), (left + 6 * step, top + step * n)], "faint")
        drawing.line([(left + step * n, top), (left + step * n, top + 6 * step)], "faint")
    for row in range(7):
        for column in range(7):
            level = 0 if column == 3 else 1 if row == 3 else 2
            drawing.dot(left + step * column, top + step * row, 11, ("warm", "cool", "grey")[level])
    drawing.text(148, 318, "column, then half rows, then corners", "small")
    x, y = 545.0, 60.0
    drawing.text(x, 30, "what a conditional depends on", "strong")
    drawing.box(x - 80, y, 160, 36, "separator: 7 spins")
    drawing.dot(x - 96, y + 18, 8, "warm")
    for side in (-1, 1):
        cx = x + 105 * side
        drawing.arrow(x + 30 * side, y + 36, cx, y + 84)
        drawing.box(cx - 62, y + 86, 124, 36, "half row: 3")
        drawing.dot(cx - 76 if side < 0 else cx + 76, y + 104, 8, "cool")
        for half in (-1, 1):
            gx = cx + 52 * half
            drawing.arrow(cx + 20 * half, y + 122, gx, y + 172)
            drawing.box(gx - 45, y + 174, 90, 36, "corner: 9")
    drawing.text(x, y + 238, "given what stands above it, a side needs nothing of the other:", "small")
    drawing.text(x, y + 256, "weights only where they are needed, and each score is weighed", "small")
    drawing.text(x, y + 274, "with the cost of its own subtree only", "small")
    return drawing


def _low(index: str) -> str:
    return "".join({**{str(n): chr(0x2080 + n) for n in range(10)}, "N": "ₙ"}[letter] for letter in index)


DRAWINGS = {
    "annealing": annealing,
    "protocols": protocols,
    "steps": steps,
    "network-chain": chain,
    "network-lattice": lattice,
    "network-dilated": dilated,
    "network-dissection": dissection,
}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (IMAGES / f"{name}.svg").write_text(draw().text_of_file())
