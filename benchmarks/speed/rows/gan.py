"""Training steps of adversarial networks, in ms: records included, checks of health left out.

    lecture       the lecture's MLP GAN, 20-100-784, batch 64, Adam, noise uniform on [-1, 1], on 60,000 images; the
                  collection's style and JAX play it without the dropout of the discriminator
    toy           both players with three hidden layers of 128, 16 numbers of noise, batch 256, on points of the plane
    toy default   the same networks in the game that `reverie.GAN` plays unasked: relativistic, with R1 and R2 every
                  fourth step, an average of the generator, whitening; its floor counts no penalty
    replicas      eight games of "toy" at once
    dcgan         the networks of the preset "dcgan28", batch 64; its floor counts no normalisation

Ours is `reverie.GAN` through `iter_fit`, as `fit` trains in a long run, with records every 50 steps: compiled where
that is repaid, which the first turn pays for; and the same with compile=False. Data are random numbers of the right
shape: no figure depends on what they show.
"""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.speed.floors import ADAM, Term, descent, gemm, mlp_game, rows_of, times
from benchmarks.speed.suite import Row, Side, both_ways

__all__ = ["convolutional", "curves", "lecture", "rows", "table"]

RECORD = 50
IMAGES, POINTS, N_NOISE = 60_000, 10_000, 16
LOOPS = "benchmarks.speed.peers.torch_loops"
JAX = "benchmarks.speed.peers.jax_gan:game"


def rows(threads: int) -> list[Row]:
    """Return the rows of the family."""
    return [
        _lecture(threads),
        _toy(threads),
        _toy(threads, default_game=True),
        _toy(threads, replicas=8),
        _dcgan(threads),
    ]


def curves(threads: int) -> dict[str, tuple[str, list[tuple[float, Row]]]]:
    """Return for each curve the name of its axis and a row for each value along it."""
    counts = [n for n in (1, 2, 4, 8, 16, 32) if n <= threads] or [1]
    return {
        "batch": ("rows of a batch", [(n, _toy(threads, batch=n)) for n in (64, 256, 1024, 4096)]),
        "width": ("width of the hidden layers", [(n, _toy(threads, width=n)) for n in (32, 64, 128, 256, 512)]),
        "data": ("events of the data", [(n, _toy(threads, points=n)) for n in (1000, 10_000, 100_000, 1_000_000)]),
        "replicas": ("games at once", [(n, _toy(threads, replicas=n)) for n in (1, 2, 4, 8, 16)]),
        "threads": ("threads", [(n, _toy(n, batch=1024, width=256, pinned=n)) for n in counts]),
    }


def _lecture(threads: int) -> Row:
    G, D, batch = [20, 100, 784], [784, 100, 1], 64
    game = {
        "G": G,
        "D": D,
        "batch": batch,
        "rows": IMAGES,
        "activation": "leaky_relu",
        "tanh": True,
        "prior": "uniform",
    }
    loop = {"batch": batch, "n_noise": 20, "width": 100, "rows": IMAGES, "threads": threads}
    styled = {**game, "kind": "mlp", "n_noise": 20, "threads": threads}
    return Row(
        "lecture",
        "MLP GAN 20-100-784, batch 64",
        "step",
        [
            *both_ways(f"{__name__}:lecture", {"threads": threads}, RECORD),
            Side("lecture's loop", f"{LOOPS}:lecture", {**loop, "beforehand": False}, 20),
            Side("lecture's, normalised before", f"{LOOPS}:lecture", {**loop, "beforehand": True}, 20),
            Side("PyTorch-GAN style", f"{LOOPS}:collection", styled, 20),
            Side("JAX scan", JAX, {**game, "chunk": 200}, 200),
        ],
        mlp_game(G, D, batch, prior="uniform"),
        "lecture's loop / ours >= 4, ours / JAX <= 1.5, ours / floor <= 2",
    )


def _toy(
    threads: int,
    *,
    width: int = 128,
    batch: int = 256,
    points: int = POINTS,
    replicas: int = 1,
    default_game: bool = False,
    pinned: int | None = None,
) -> Row:
    G, D = [N_NOISE, *[width] * 3, 2], [2, *[width] * 3, 1]
    game = {"G": G, "D": D, "batch": batch, "rows": points}
    ours = {"width": width, "batch": batch, "points": points, "replicas": replicas, "default_game": default_game}
    chunk = max(10, min(200, 400_000 // (batch * replicas)))
    scan = {**game, "chunk": chunk, "default_game": default_game, "replicas": replicas}
    sides = both_ways(f"{__name__}:table", {**ours, "threads": threads}, RECORD)
    if replicas == 1 and not default_game:
        loop = {**game, "kind": "mlp", "n_noise": N_NOISE, "threads": threads}
        sides.append(Side("PyTorch-GAN style", f"{LOOPS}:collection", loop, 20))
    sides.append(Side("JAX scan" if replicas == 1 else "JAX vmap, scan", JAX, scan, chunk))
    one = mlp_game(G, D, batch, prior="normal", ema=default_game)
    what = f"GAN 3 x {width}, batch {batch}" + (f", {replicas} replicas" if replicas > 1 else "")
    what += ", default game" if default_game else ""
    asked = "ours / floor <= 1.3" if replicas > 1 else "ours / JAX <= 1.5"
    key = "replicas" if replicas > 1 else "toy default" if default_game else "toy"
    return Row(key, what, "step", sides, times(one, replicas), asked, pinned)


def _dcgan(threads: int) -> Row:
    batch = 64
    loop = {"kind": "dcgan28", "batch": batch, "rows": 2000, "n_noise": 100, "threads": threads}
    sides = [
        *both_ways(f"{__name__}:convolutional", {"batch": batch, "threads": threads}, 2),
        Side("PyTorch-GAN style", f"{LOOPS}:collection", loop, 2),
    ]
    asked = "ours / floor <= 1.15"
    return Row("dcgan", f"DCGAN 28 x 28, batch {batch}", "step", sides, _convolutions(batch), asked)


def _convolutions(batch: int) -> list[Term]:
    """Return the floor of a step of the DCGAN: each convolution as often as the game needs it."""
    terms = [gemm(batch, 100, 12544), gemm(100, batch, 12544)]
    growing = [(256, 128, 7, 1), (128, 64, 7, 2), (64, 1, 14, 2)]
    for a, b, side, stride in growing:
        of_G: Term = {"kind": "conv", "input": [batch, a, side, side], "weight": [a, b, 5, 5], "transposed": True}
        of_G |= {"stride": stride, "padding": 2, "output_padding": stride - 1}
        terms += [{**of_G, "pass": "forward"}, {**of_G, "pass": "both"}]
    for a, b, side in ((1, 64, 28), (64, 128, 14)):
        of_D: Term = {"kind": "conv", "weight": [b, a, 5, 5], "stride": 2, "padding": 2}
        both, one = {**of_D, "input": [2 * batch, a, side, side]}, {**of_D, "input": [batch, a, side, side]}
        terms += [{**both, "pass": "forward"}, {**both, "pass": "weight" if a == 1 else "both"}]
        terms += [{**one, "pass": "forward"}, {**one, "pass": "input"}]
    head = [gemm(2 * batch, 6272, 1), gemm(2 * batch, 1, 6272), gemm(6272, 2 * batch, 1)]
    head += [gemm(batch, 6272, 1), gemm(batch, 1, 6272)]
    return terms + head + [rows_of("normal", 100 * batch), descent(2_305_472 + 212_865, ADAM)]


def lecture(*, threads: int, **more: Any) -> Callable[[int], None]:
    """Return the window of our lecture GAN."""
    import torch

    from reverie.models.presets import preset

    images = torch.rand(IMAGES, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model = preset("lecture_mlp", **_endless(threads), n_checks=0, **more)
    return _window(model.iter_fit(images), RECORD)


def table(
    *, width: int, batch: int, points: int, replicas: int, default_game: bool, threads: int, **more: Any
) -> Callable[[int], None]:
    """Return the window of our GAN on points of the plane."""
    import torch

    import reverie

    x = torch.rand(points, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain: dict[str, Any] = {
        "objective": "non_saturating",
        "penalty": "none",
        "ema_decay": 0.0,
        "schedule": "constant",
        "betas": (0.9, 0.999),
        "preprocessing": "standardise",
        "whiten": False,
        "kinematic_fit": False,
    }
    sizes = {"generator": (width,) * 3, "discriminator": (width,) * 3, "n_noise": N_NOISE, "batch_size": batch}
    options = (({} if default_game else plain) | sizes | _endless(threads)) | {"n_replicas": replicas, "n_checks": 0}
    return _window(reverie.GAN(**options, **more).iter_fit(x), RECORD)


def convolutional(*, batch: int, threads: int, **more: Any) -> Callable[[int], None]:
    """Return the window of our DCGAN, with records every second step."""
    import torch

    from reverie.models.presets import preset

    images = torch.rand(2000, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    options = _endless(threads) | {"record_every": 2, "batch_size": batch, "n_checks": 0}
    return _window(preset("dcgan28", **options, **more).iter_fit(images), 2)


def _endless(threads: int) -> dict[str, Any]:
    return {"max_steps": 10**9, "record_every": RECORD, "random_state": 1, "n_threads": threads, "device": "cpu"}


def _window(records: Iterator[Any], every: int) -> Callable[[int], None]:
    def window(n: int) -> None:
        for _ in range(n // every):
            next(records)

    return window
