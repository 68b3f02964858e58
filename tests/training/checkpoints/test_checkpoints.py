"""Checkpoints come by name or as a file, in any of the usual wrappings, and never half, wrong or with code in them."""

import collections
import contextlib
import hashlib
import http.server
import io
import json
import os
import pickle
import threading
from dataclasses import replace

import pytest
import torch

from training.calibration.layer import Calibrated, Constants
from training.checkpoints import cached, default_checkpoint, fetch, load_weights, published_checkpoints
from training.errors import UserError
from training.networks import NETWORKS, create

NAME = "dncnn_25"


def network(seed=0, name="dncnn", **settings):
    torch.manual_seed(seed)
    made = create(name, **(settings or {"depth": 3, "width": 4}))
    for parameter in made.parameters():
        parameter.data.normal_()
    return made


def equal(first, second):
    return all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


def refusal(function, *arguments, **options):
    """The message of the refusal, which is one line."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of its own."""
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "checkpoints"


@pytest.fixture
def published():
    """The bytes of a checkpoint file."""
    stream = io.BytesIO()
    torch.save(network().state_dict(), stream)
    return stream.getvalue()


@pytest.fixture
def publish(monkeypatch):
    """A function that moves a published checkpoint to other addresses."""

    def move(addresses, sha256=None):
        network = NETWORKS["dncnn"]
        files = {NAME: {**network.checkpoints["files"][NAME], "sha256": sha256}}
        changed = {**network.checkpoints, "addresses": addresses, "files": files}
        monkeypatch.setitem(NETWORKS, "dncnn", replace(network, checkpoints=changed))

    return move


@pytest.fixture
def serve(publish, published):
    """A function that puts a published checkpoint on a local server, which answers in the stated way."""
    with contextlib.ExitStack() as stack:

        def start(answer="whole", *, sha256=None, content=published):
            class Handler(http.server.BaseHTTPRequestHandler):
                requests = 0

                def do_GET(self):
                    Handler.requests += 1
                    if answer == "missing" or (answer == "mirror" and "first" in self.path):
                        self.send_error(404)
                        return
                    self.send_response(200)
                    if answer != "no length":
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: len(content) // 2] if answer in {"broken off", "no length"} else content)

                def log_message(self, *arguments):
                    pass

            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}"
            publish([f"{address}/first", f"{address}/second"][: 1 + (answer == "mirror")], sha256)
            return Handler

        yield start


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("with_hash", [True, False])
def test_a_published_checkpoint_is_fetched_once(serve, published, cache, with_hash, capfd):
    server = serve(sha256=hashlib.sha256(published).hexdigest() if with_hash else None)
    assert cached(NAME) is None
    path = fetch(NAME)
    assert path.read_bytes() == published
    assert fetch(NAME) == cached(NAME) == path
    assert server.requests == 1
    assert files(cache) == [path.name]
    assert capfd.readouterr() == ("", "")


def test_a_bar_shows_a_download_and_costs_it_nothing(serve, published):
    serve()
    assert fetch(NAME, progress=True).read_bytes() == published


def test_a_mirror_is_asked_where_the_first_address_has_nothing(serve, published):
    server = serve("mirror")
    assert fetch(NAME).read_bytes() == published
    assert server.requests == 2


@pytest.mark.parametrize(
    ("server", "cause"),
    [
        ({"answer": "broken off"}, "broke off"),
        ({"answer": "broken off", "sha256": "0" * 64}, "broke off"),
        ({"answer": "no length"}, "no checkpoint"),
        ({"answer": "no length", "sha256": "0" * 64}, "sha256 differs"),
        ({"sha256": "0" * 64}, "sha256 differs"),
        ({"content": b"<html>Log in to the network first</html>"}, "no checkpoint"),
        ({"answer": "missing"}, "404"),
    ],
)
def test_a_download_that_fails_leaves_nothing_and_says_why(serve, cache, server, cause):
    serve(**server)
    message = refusal(fetch, NAME)
    assert cause in message
    assert "`checkpoint` FILE" in message
    assert files(cache) == []
    assert cached(NAME) is None


def test_a_server_that_is_not_there(publish, cache):
    publish(["http://127.0.0.1:9/x"])
    assert "no connection" in refusal(fetch, NAME)
    assert files(cache) == []


def test_a_cached_file_that_was_damaged_is_fetched_again(serve, published):
    serve(sha256=hashlib.sha256(published).hexdigest())
    path = fetch(NAME)
    path.write_bytes(b"damaged")
    assert cached(NAME) is None
    assert fetch(NAME).read_bytes() == published


def test_a_cache_that_cannot_be_written(serve, tmp_path, monkeypatch):
    serve()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BMZ_FMD_CACHE", str(tmp_path / "file"))
    assert "BMZ_FMD_CACHE" in refusal(fetch, NAME)


def test_kbnet_is_fetched_by_hand():
    message = refusal(load_weights, "kbnet_gray_25", network())
    assert "sharepoint.com" in message
    assert "gau_gray_25.pth" in message
    assert "`checkpoint` FILE" in message


def test_loading_by_name_fetches_and_says_where_it_comes_from(serve, published):
    serve()
    target = network(seed=1)
    origin = load_weights(NAME, target)
    assert equal(target, network())
    assert (origin.name, origin.spdx, origin.sha256) == (NAME, "MIT", hashlib.sha256(published).hexdigest())


def wrap(state, wrapping, prefix):
    state = {f"{prefix}{key}": value for key, value in state.items()}
    return {wrapping: state, "epoch": 3, "optimizer": {"lr": [0.1]}} if wrapping else state


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
@pytest.mark.parametrize("wrapping", [None, "params", "params_ema", "net", "state_dict", "model"])
def test_every_usual_wrapping_is_read(tmp_path, wrapping, prefix, legacy):
    path = tmp_path / "weights.pth"
    torch.save(wrap(network().state_dict(), wrapping, prefix), path, _use_new_zipfile_serialization=not legacy)
    target = network(seed=1)
    load_weights(path, target)
    assert equal(target, network())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_its_weights_from_behind_a_prefix(tmp_path, name):
    small = NETWORKS[name].small_settings
    torch.save(wrap(network(0, name, **small).state_dict(), "net", "module."), tmp_path / "weights.pth")
    target = network(1, name, **small)
    load_weights(tmp_path / "weights.pth", target)
    assert equal(target, network(0, name, **small))


def test_averaged_weights_are_preferred(tmp_path):
    torch.save({"params": network(1).state_dict(), "params_ema": network(0).state_dict()}, tmp_path / "w.pth")
    target = network(2)
    load_weights(tmp_path / "w.pth", target)
    assert equal(target, network(0))


@pytest.mark.parametrize("prefix", ["", "model."])
def test_of_a_run_the_denoiser_is_taken(tmp_path, prefix):
    state = wrap(Calibrated(network(), Constants(offset=5, scale=9)).state_dict(), "state_dict", prefix)
    torch.save(state, tmp_path / "best.ckpt")
    target = network(seed=1)
    load_weights(tmp_path / "best.ckpt", target)
    assert equal(target, network())


def test_the_licence_of_a_runs_own_checkpoint_is_handed_on(tmp_path):
    torch.save(network().state_dict(), tmp_path / "best.ckpt")
    first = {"name": "restormer_gray_blind", "licence": "non-commercial", "spdx": None, "source": "https://x"}
    (tmp_path / "provenance.json").write_text(json.dumps({"checkpoint": {**first, "citation": "Z", "sha256": "1"}}))
    origin = load_weights(tmp_path / "best.ckpt", network(1))
    assert (origin.licence, origin.source, origin.citation) == ("non-commercial", "https://x", "Z")
    assert "restormer_gray_blind" in origin.name
    (tmp_path / "provenance.json").write_text(json.dumps({"checkpoint": None}))
    assert load_weights(tmp_path / "best.ckpt", network(1)) is None


def test_a_file_of_unknown_origin_states_no_licence(tmp_path):
    torch.save(network().state_dict(), tmp_path / "mine.pth")
    origin = load_weights(str(tmp_path / "mine.pth"), network(1))
    assert origin.name == origin.source == "mine.pth"
    assert origin.spdx is None
    assert origin.licence is None
    assert origin.sha256 == hashlib.sha256((tmp_path / "mine.pth").read_bytes()).hexdigest()


def test_a_published_file_without_a_known_hash_is_known_by_its_name(tmp_path):
    torch.save(network().state_dict(), tmp_path / "gaussian_gray_denoising_blind.pth")
    origin = load_weights(tmp_path / "gaussian_gray_denoising_blind.pth", network(1))
    assert origin.name == "restormer_gray_blind"
    assert "non-commercial" in origin.licence


def test_a_published_file_is_known_by_its_hash(shared):
    origin = load_weights(shared("data/weights/dncnn_25.pth"), create("dncnn"))
    assert (origin.name, origin.spdx, origin.source) == ("dncnn_25", "MIT", "https://github.com/cszn/KAIR")
    assert "10.1109/TIP.2017.2662206" in origin.citation


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("model.2.bias"), ["model.2.bias is missing"]),
        (lambda state: state.update({"extra": torch.ones(1)}), ["extra is unknown"]),
        (lambda state: state.update({"model.0.bias": torch.ones(7)}), ["model.0.bias is 7 instead of 4"]),
        (
            lambda state: [state.pop(key) for key in list(state)[1:]],
            ["model.0.bias is missing, model.2.weight is missing, model.2.bias is missing and 2 more"],
        ),
        (lambda state: state.update({"model.0.weight": torch.ones(4, 3, 3, 3)}), ["colour", "gray"]),
    ],
)
def test_a_checkpoint_that_does_not_fit_names_the_first_differences(tmp_path, change, says):
    state = network().state_dict()
    change(state)
    torch.save(state, tmp_path / "weights.pth")
    target = network(1)
    message = refusal(load_weights, tmp_path / "weights.pth", target)
    assert all(part in message for part in ["weights.pth", "DnCNN", *says])
    assert equal(target, network(1))


@pytest.mark.parametrize(("channels", "says"), [(4, "colour"), (1, "noise level")])
def test_the_other_forms_of_drunet_are_told_apart(tmp_path, channels, says):
    settings = {"widths": (4, 6, 8, 10), "blocks": 1}
    state = network(0, "drunet", **settings).state_dict()
    state["m_head.weight"] = torch.ones(4, channels, 3, 3)
    torch.save(state, tmp_path / "weights.pth")
    assert says in refusal(load_weights, tmp_path / "weights.pth", network(1, "drunet", **settings))


class _RunsCode:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model.0.weight": _RunsCode()}, tmp_path / "weights.pth")
    assert "could run code" in refusal(load_weights, tmp_path / "weights.pth", network())
    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"model.0.weight": _RunsCode()}))
    assert "not a checkpoint" in refusal(load_weights, tmp_path / "weights.pth", network())
    assert not (tmp_path / "harm").exists()


def test_a_torchscript_program_is_no_checkpoint(tmp_path):
    from helpers.exported import traced

    loaded, _ = traced(network(), torch.rand(1, 1, 8, 8))
    loaded.save(str(tmp_path / "weights.pt"))
    assert "not a checkpoint" in refusal(load_weights, tmp_path / "weights.pt", network())


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x80\x02", b"PK\x03\x04 and no more", b"\x00" * 5000, pickle.dumps([1, 2]), pickle.dumps("x")],
)
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    (tmp_path / "weights.pth").write_bytes(content)
    assert "not a checkpoint" in refusal(load_weights, tmp_path / "weights.pth", network())


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)], collections.OrderedDict(), torch.ones(3)])
def test_a_saved_thing_without_weights_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    assert "not a checkpoint" in refusal(load_weights, tmp_path / "weights.pth", network())


def test_a_checkpoint_cut_off_in_the_middle(tmp_path, published):
    (tmp_path / "weights.pth").write_bytes(published[: len(published) // 2])
    assert "damaged" in refusal(load_weights, tmp_path / "weights.pth", network())


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    state = network().state_dict()
    state["model.2.bias"][0] = float("nan")
    torch.save(state, tmp_path / "weights.pth")
    assert "model.2.bias holds NaN" in refusal(load_weights, tmp_path / "weights.pth", network())


@pytest.mark.parametrize("name", ["nothing.pth", "drunet_grey", "."])
def test_what_is_neither_a_file_nor_a_name(name):
    assert "drunet_gray" in refusal(load_weights, name, network())


def test_the_registry_says_what_a_package_must_carry():
    for name, checkpoint in published_checkpoints().items():
        assert checkpoint.name == name
        assert checkpoint.network in NETWORKS
        assert checkpoint.licence
        assert checkpoint.citation
        assert all(url.startswith("https://") and url.endswith(checkpoint.file) for url in checkpoint.urls)
    assert published_checkpoints()["restormer_gray_sigma25"].spdx is None


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network.checkpoints])
def test_a_network_with_published_weights_names_those_to_start_from(name):
    assert default_checkpoint(name).network == name
