"""Products by the other library are products: shapes, transposes, biases, many at once, and inside a flat graph."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from reverie.core import products
from reverie.core.products import FastProducts, product, with_fast_products

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch was built without oneDNN"
)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(params=[False, True])
def preferred(request, monkeypatch) -> bool:
    """The processor's choice, either way."""
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch was built without oneDNN")
    monkeypatch.setattr(products, "_prefers_onednn", lambda: request.param)
    return request.param


@pytest.mark.parametrize(("m", "k", "n"), [(100, 80, 90), (3, 2, 1), (1, 900, 900), (128, 784, 100)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_product_is_a_product(preferred, m, k, n, turned):
    a, b, bias = drawn(m, k), (drawn(n, k).t() if turned else drawn(k, n)), drawn(n)
    exact = a.double() @ b.double()
    torch.testing.assert_close(product(a, b).double(), exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(product(a, b, bias).double(), exact + bias.double(), rtol=1e-4, atol=1e-4)
    assert product(a.double(), b.double()).dtype == torch.float64


@needs_onednn
@pytest.mark.parametrize("part", [lambda x: x[:80, :90], lambda x: x[:80, ::2][:, :90], lambda x: x.t()[:80, :90]])
def test_a_part_of_an_array_reaches_the_library_whole(monkeypatch, part):
    """OneDNN takes a thousand times as long for a second factor that is part of a larger array.

    The twin: one that is whole, by rows or by columns, is given as it stands, without a copy.
    """
    given = []
    packet = torch.ops.mkldnn._linear_pointwise
    library = packet.default
    monkeypatch.setattr(packet, "default", lambda a, weight, *rest: given.append(weight) or library(a, weight, *rest))
    monkeypatch.setattr(products, "_prefers_onednn", lambda: True)
    a, larger = drawn(100, 80), drawn(200, 200)
    b, whole = part(larger), drawn(90, 80).t()
    found, other = product(a, b), product(a, whole)
    torch.testing.assert_close(found, a @ b, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other, a @ whole, rtol=1e-4, atol=1e-4)
    assert all(w.is_contiguous() or w.t().is_contiguous() for w in given)
    assert given[1].data_ptr() == whole.data_ptr()


def steps(x, y, bias, many, others):
    return (
        torch.addmm(bias, x, y.t()),
        x @ y.t(),
        torch.bmm(many, others),
        torch.baddbmm(bias[None, None], many, others),
    )


def test_a_graph_keeps_its_values_and_changes_its_library(preferred):
    """The twin: where the processor does not prefer oneDNN, the graph stays as it was."""
    given = [drawn(100, 80), drawn(90, 80), drawn(90), drawn(3, 100, 80), drawn(3, 80, 90)]
    graph = with_fast_products(make_fx(steps)(*given))
    used = {str(node.target) for node in graph.graph.nodes if "reverie" in str(node.target)}
    assert used == ({"reverie.product.default", "reverie.products.default"} if preferred else set())
    for ours, plain in zip(graph(*given), steps(*given), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_small_products_stay_where_they_are(monkeypatch):
    monkeypatch.setattr(products, "_prefers_onednn", lambda: True)
    graph = with_fast_products(make_fx(lambda a, b: a @ b)(drawn(8, 8), drawn(8, 8)))
    assert not any("reverie" in str(node.target) for node in graph.graph.nodes)


@pytest.mark.parametrize("shape", [(1024, 64), (128, 8, 64)])
@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers_take_the_fast_product_where_no_gradient_is_asked_for(preferred, monkeypatch, shape, bias):
    """The twins: with a gradient, and where the processor does not prefer oneDNN, PyTorch's own is called."""
    taken = []
    monkeypatch.setattr(products, "_is_faster", lambda a, b: taken.append(preferred) or preferred)
    layer, x = torch.nn.Linear(64, 96, bias=bias), drawn(*shape)
    with FastProducts():
        trained = layer(x)
        assert trained.requires_grad
        assert not taken
        with torch.no_grad():
            drawn_rows = layer(x)
    assert taken == [preferred]
    torch.testing.assert_close(drawn_rows, trained.detach(), rtol=1e-4, atol=1e-4)
