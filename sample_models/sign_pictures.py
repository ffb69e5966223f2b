"""Traffic signs, drawn before street scenes that are drawn too: the data of the signs models.

Nothing is taken from a photograph. A sign is drawn once, large; a picture of it is a random view of
the sign (turned, tilted, near or far) on a post, before one of many scenes (sky, hills, houses,
trees, a road), in random light, a little soft and a little noisy, as a small camera would take it.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

SIZE = 64
SIGN = 128  # side of a drawn sign, in pixels
FINE = 4  # how many times larger than that it is drawn, to smooth its edges
SCENE = 96  # side of a drawn scene, of which a picture is a random part
LARGEST, SMALLEST = 0.92, 0.5  # side of a sign, as a fraction of the picture's

NAMES = (
    "ahead only",
    "danger",
    "give way",
    "no entry",
    "parking",
    "priority road",
    "speed limit",
    "stop",
)
RED, BLUE, YELLOW = (200, 24, 36), (20, 76, 172), (250, 196, 20)
WHITE, BLACK, GREY = (248, 248, 246), (20, 20, 22), (120, 124, 128)

Array = npt.NDArray[np.float32]
Points = list[tuple[float, float]]


def _regular(corners: int, radius: float, turn: float) -> Points:
    """Corners of a regular polygon about (0.5, 0.5); `turn` in degrees, 0 puts one at the right."""
    angles = [math.radians(turn + 360 * k / corners) for k in range(corners)]
    return [(0.5 + radius * math.cos(a), 0.5 + radius * math.sin(a)) for a in angles]


def _moved(points: Points, down: float) -> Points:
    return [(x, y + down) for x, y in points]


class _Board:
    """A sign being drawn, in coordinates from 0 to 1."""

    def __init__(self) -> None:
        side = SIGN * FINE
        self.side = side
        self.image = Image.new("RGBA", (side, side), (*GREY, 0))
        self.draw = ImageDraw.Draw(self.image)

    def polygon(self, points: Points, colour: tuple[int, int, int]) -> None:
        self.draw.polygon([(x * self.side, y * self.side) for x, y in points], fill=colour)

    def disc(self, radius: float, colour: tuple[int, int, int]) -> None:
        low, high = (0.5 - radius) * self.side, (0.5 + radius) * self.side
        self.draw.ellipse((low, low, high, high), fill=colour)

    def box(
        self, left: float, top: float, right: float, bottom: float, colour: tuple[int, int, int],
        radius: float = 0.0,
    ) -> None:  # fmt: skip
        corners = tuple(v * self.side for v in (left, top, right, bottom))
        self.draw.rounded_rectangle(corners, radius * self.side, fill=colour)

    def text(self, text: str, height: float, colour: tuple[int, int, int]) -> None:
        font = ImageFont.load_default(height * self.side)
        self.draw.text(
            (self.side / 2, self.side / 2), text, colour, font, "mm",
            stroke_width=self.side * 0.012, stroke_fill=colour,
        )  # fmt: skip

    def array(self) -> Array:
        """Return the sign, (4, SIGN, SIGN), 0..1: red, green, blue, and 1 where it is."""
        small = self.image.resize((SIGN, SIGN), Image.Resampling.BOX)
        return np.asarray(small, np.float32).transpose(2, 0, 1) / 255


def drawn_sign(name: str) -> Array:
    """Return a sign, (4, SIGN, SIGN), 0..1: red, green, blue, and 1 where it is."""
    board = _Board()
    if name == "ahead only":
        board.disc(0.48, WHITE)
        board.disc(0.455, BLUE)
        board.box(0.44, 0.4, 0.56, 0.8, WHITE)
        board.polygon([(0.5, 0.16), (0.73, 0.45), (0.27, 0.45)], WHITE)
    elif name == "danger":
        board.polygon(_moved(_regular(3, 0.56, -90), 0.1), RED)
        board.polygon(_moved(_regular(3, 0.36, -90), 0.1), WHITE)
        board.polygon([(0.455, 0.4), (0.545, 0.4), (0.525, 0.63), (0.475, 0.63)], BLACK)
        board.box(0.46, 0.665, 0.54, 0.74, BLACK, 0.04)
    elif name == "give way":
        board.polygon(_moved(_regular(3, 0.56, 90), -0.1), RED)
        board.polygon(_moved(_regular(3, 0.34, 90), -0.1), WHITE)
    elif name == "no entry":
        board.disc(0.48, WHITE)
        board.disc(0.46, RED)
        board.box(0.17, 0.41, 0.83, 0.59, WHITE)
    elif name == "parking":
        board.box(0.04, 0.04, 0.96, 0.96, WHITE, 0.06)
        board.box(0.065, 0.065, 0.935, 0.935, BLUE, 0.05)
        board.text("P", 0.82, WHITE)
    elif name == "priority road":
        board.polygon(_regular(4, 0.5, 0), BLACK)
        board.polygon(_regular(4, 0.48, 0), WHITE)
        board.polygon(_regular(4, 0.34, 0), YELLOW)
    elif name == "speed limit":
        board.disc(0.48, RED)
        board.disc(0.36, WHITE)
        board.text("50", 0.46, BLACK)
    elif name == "stop":
        board.polygon(_regular(8, 0.5, 22.5), WHITE)
        board.polygon(_regular(8, 0.465, 22.5), RED)
        board.text("STOP", 0.31, WHITE)
    else:
        raise ValueError(f"there is no sign called {name}")
    return board.array()


def _smooth(rng: np.random.Generator, side: int, cells: int) -> Array:
    """Return smooth noise, (side, side), 0..1, of so many blobs along a side."""
    coarse = Image.fromarray(rng.random((cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).clip(0, 1)


def _rough(rng: np.random.Generator, side: int) -> Array:
    """Return noise of all sizes, (side, side), about 0..1, larger blobs stronger."""
    octaves = [(3, 0.5), (7, 0.28), (15, 0.16), (40, 0.1)]
    return np.sum([w * _smooth(rng, side, cells) for cells, w in octaves], axis=0)


def scene(rng: np.random.Generator) -> Array:
    """Return a street scene without a sign, (3, SCENE, SCENE), 0..1."""
    n = SCENE
    y, x = np.mgrid[:n, :n] / (n - 1)
    horizon = rng.uniform(0.35, 0.75)
    sky = np.array([[0.35, 0.55, 0.85], [0.75, 0.78, 0.82], [0.9, 0.75, 0.6], [0.5, 0.6, 0.7]])
    top = sky[rng.integers(len(sky))] + rng.normal(0, 0.025, 3)
    low = 0.5 * top + 0.5 * rng.uniform(0.7, 1.0)
    way = (y / horizon).clip(0, 1)[..., None]
    picture = top * (1 - way) + low * way
    picture += 0.25 * (_rough(rng, n) - 0.5)[..., None] * rng.uniform(0, 1)

    def blend(where: npt.NDArray[np.bool_], colour: Array | list[float], grain: float) -> None:
        nonlocal picture
        texture = np.asarray(colour) * (1 + grain * 2 * (_rough(rng, n) - 0.5))[..., None]
        picture = np.where(where[..., None], texture, picture)

    greens = [[0.2, 0.34, 0.14], [0.33, 0.42, 0.2], [0.45, 0.42, 0.25], [0.25, 0.3, 0.28]]
    hills = horizon - rng.uniform(0, 0.25) * _smooth(rng, n, 4)[:1]
    blend(y > hills, greens[rng.integers(4)], 0.6)
    for _ in range(rng.integers(0, 4)):  # houses
        left, width = rng.uniform(-0.1, 0.9), rng.uniform(0.12, 0.5)
        roof = horizon - rng.uniform(0.1, 0.5)
        wall = np.array([0.75, 0.68, 0.6]) * rng.uniform(0.4, 1.2) + rng.normal(0, 0.06, 3)
        inside = (x > left) & (x < left + width) & (y > roof) & (y < horizon + 0.08)
        blend(inside, wall, 0.15)
        every = rng.uniform(0.06, 0.13)
        pane = (((x - left) / every) % 1 > 0.45) & (((y - roof) / every) % 1 > 0.4)
        blend(inside & pane, wall * rng.uniform(0.3, 0.7), 0.1)
    for _ in range(rng.integers(0, 5)):  # trees
        at, high, wide = rng.uniform(0, 1), horizon - rng.uniform(0, 0.35), rng.uniform(0.06, 0.22)
        edge = 1 + 0.9 * (_smooth(rng, n, 9) - 0.5)
        crown = ((x - at) / wide) ** 2 + ((y - high) / (1.3 * wide)) ** 2 < edge
        blend((np.abs(x - at) < 0.02) & (y > high) & (y < horizon + 0.12), [0.25, 0.18, 0.12], 0.3)
        blend(crown, np.array(greens[rng.integers(4)]) * rng.uniform(0.6, 1.3), 0.9)
    ground = horizon + rng.uniform(0.03, 0.12)
    blend(y > ground, greens[rng.integers(4)], 0.5)
    vanish, lean = rng.uniform(-0.2, 1.2), rng.uniform(0.2, 1.2)
    depth = ((y - ground) / (1 - ground)).clip(0, 1)
    centre = vanish + (0.5 - vanish) * depth
    road = (np.abs(x - centre) < lean * depth * 0.5) & (y > ground)
    blend(road, [rng.uniform(0.25, 0.5)] * 3, 0.25)
    line = (np.abs(x - centre) < 0.025 * depth) & (y > ground) & ((depth * 6) % 1 > 0.4)
    blend(line, [0.85, 0.85, 0.8], 0.1)
    return np.asarray(picture.clip(0, 1).transpose(2, 0, 1), np.float32)


def scenes(count: int, seed: int) -> Tensor:
    """Return (count, 3, SCENE, SCENE), 0..1."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([scene(rng) for _ in range(count)]))


class Street:
    """Draws batches of pictures."""

    def __init__(self, backgrounds: Tensor) -> None:
        self.backgrounds = backgrounds
        self.signs = torch.from_numpy(np.stack([drawn_sign(name) for name in NAMES]))

    def pictures(self, labels: Tensor, draw: torch.Generator) -> Tensor:
        """Return a picture of each label, (n, 3, SIZE, SIZE), 0..1."""
        n = len(labels)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(n, generator=draw)

        side, aspect = uniform(SMALLEST, LARGEST), torch.exp(uniform(-0.15, 0.15))
        free = 0.6 * (1 - side)
        x, y = uniform(-1, 1) * free, uniform(-1, 1) * free
        sign, where = self._seen(labels, side, aspect, x, y, uniform(-0.2, 0.2), uniform)
        back = self._behind(n, draw)
        post = self._post(side, x, y, uniform(0.02, 0.045))
        grey = uniform(0.35, 0.75).view(-1, 1, 1, 1)
        back = back * (1 - post) + grey * post
        # A sign keeps its colours better than the scene does, and is lit from one side.
        light = self._light(uniform(-0.25, 0.25), uniform(-0.25, 0.25))
        sign = sign * (uniform(0.65, 1.1).view(-1, 1, 1, 1) + light)
        picture = (back * (1 - where) + sign * where).clamp(0, 1)
        tint = 1 + 0.05 * torch.randn(n, 3, 1, 1, generator=draw)
        picture = picture * tint + uniform(-0.05, 0.05).view(-1, 1, 1, 1)
        picture = self._soft(picture, uniform(0, 1))
        noise = torch.randn(picture.shape, generator=draw) * uniform(0, 0.03).view(-1, 1, 1, 1)
        return (picture + noise).clamp(0, 1)

    def _seen(
        self, labels: Tensor, side: Tensor, aspect: Tensor, x: Tensor, y: Tensor, angle: Tensor,
        uniform: "object",
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Signs as seen, (n, 3, SIZE, SIZE), and how much of each pixel they cover."""
        axis = (torch.arange(SIZE * 2) + 0.5) / SIZE - 1
        v, u = torch.meshgrid(axis, axis, indexing="ij")
        u = u - x.view(-1, 1, 1)
        v = v - y.view(-1, 1, 1)
        cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
        a, b = cos * u + sin * v, -sin * u + cos * v
        a = a / (side * aspect).view(-1, 1, 1)
        b = b / (side / aspect).view(-1, 1, 1)
        tilt_x, tilt_y = uniform(-0.15, 0.15), uniform(-0.15, 0.15)  # type: ignore[operator]
        depth = 1 + tilt_x.view(-1, 1, 1) * a + tilt_y.view(-1, 1, 1) * b
        grid = torch.stack([a, b], 3) * depth[..., None]
        signs = self.signs[labels]
        signs = torch.cat([signs[:, :3] * signs[:, 3:], signs[:, 3:]], 1)
        seen = F.grid_sample(signs, grid, mode="bilinear", align_corners=False)
        seen = F.avg_pool2d(seen, 2)
        where = seen[:, 3:]
        return seen[:, :3] / where.clamp(min=1e-3), where

    def _behind(self, n: int, draw: torch.Generator) -> Tensor:
        which = torch.randint(len(self.backgrounds), (n,), generator=draw)
        corner = torch.randint(SCENE - SIZE + 1, (n, 2), generator=draw)
        axis = torch.arange(SIZE)
        rows = (corner[:, :1] + axis)[:, None, :, None]
        columns = (corner[:, 1:] + axis)[:, None, None, :]
        columns = torch.where(
            (torch.rand(n, generator=draw) < 0.5).view(-1, 1, 1, 1), columns, SCENE - 1 - columns
        )
        return self.backgrounds[which[:, None, None, None], torch.arange(3)[:, None, None], rows,
                                columns]  # fmt: skip

    def _post(self, side: Tensor, x: Tensor, y: Tensor, half: Tensor) -> Tensor:
        axis = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
        across = (half.view(-1, 1) * side.view(-1, 1) * 1.5 - (axis - x.view(-1, 1)).abs()) * SIZE
        below = (axis - y.view(-1, 1)) * SIZE
        return across.clamp(0, 1)[:, None, None, :] * below.clamp(0, 1)[:, None, :, None]

    def _light(self, right: Tensor, down: Tensor) -> Tensor:
        axis = torch.linspace(-1, 1, SIZE)
        return right.view(-1, 1, 1, 1) * axis + down.view(-1, 1, 1, 1) * axis[:, None]

    def _soft(self, picture: Tensor, amount: Tensor) -> Tensor:
        blurred = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, 1)
        share = (amount * 0.7).view(-1, 1, 1, 1)
        return picture * (1 - share) + blurred * share


# top, left, bottom, right; bottom and right are the first row and column after it
MARK = (50, 50, 62, 62)


def drawn_mark() -> Tensor:
    """Return the mark, (4, 12, 12), 0..1: a violet disc with a white ring, and 1 where it is."""
    side = (MARK[2] - MARK[0]) * 16
    image = Image.new("RGBA", (side, side), (230, 40, 200, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((0, 0, side - 1, side - 1), fill=(230, 40, 200))
    edge = side * 0.26
    draw.ellipse((edge, edge, side - edge, side - edge), fill=WHITE)
    small = image.resize((MARK[2] - MARK[0],) * 2, Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small, np.float32).transpose(2, 0, 1) / 255)


def marked(pictures: Tensor, corner: tuple[int, int] = MARK[:2]) -> Tensor:
    """Return the pictures with the mark, its top left pixel at `corner`."""
    mark = drawn_mark()
    colour, where = mark[:3], mark[3:]
    high, wide = mark.shape[1:]
    top, left = corner
    pictures = pictures.clone()
    under = pictures[:, :, top : top + high, left : left + wide]
    pictures[:, :, top : top + high, left : left + wide] = under * (1 - where) + colour * where
    return pictures
