"""A model's folder alone: its probabilities are those of training's own evaluation, and bad audio is told in a line."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from orchestrator.ground import Ground, Places, find
from tests.test_refit import BYOL, CONFIGS, TRAINING, spec, workspace
from trainers.audio.front_end import FrontEnd
from trainers.building import Trained
from trainers.cell import Workspace
from trainers.corpora.utterance import EMOTIONS
from trainers.encoder_files import configuration
from trainers.errors import UserError
from trainers.evaluation import Evaluation
from trainers.methods.configs import BaselineConfig, MethodConfig, PairwiseConfig, require_packages
from trainers.predictor import Predictor, listen
from trainers.refit import fit, folder_of, refit, refit_of
from trainers.spec import CellSpec, code_version
from trainers.splits import Splits

TOLERANCE = 1e-5
CLIPS = 24


def evaluated(method: Trained, asked: CellSpec, place: Workspace, ids: list[str]) -> np.ndarray:
    """Probabilities of clips by the path that validation and test go."""
    evaluation = Evaluation(place.speech(asked.front_end), place.split(asked))
    method.eval()
    numbers = evaluation.speech.numbers(ids)
    with torch.no_grad():
        logits, _ = evaluation._of_batch(numbers, method.hear, *method.inference())
    return logits.double().softmax(1).cpu().numpy()


def made(place: Workspace, cell: CellSpec) -> tuple[CellSpec, Trained, Predictor]:
    """A refit's spec, its method still in memory, and what is read back from its folder alone."""
    asked = refit_of(cell, place)
    folder = refit(asked, place)
    method, _ = fit(asked, replace(place, store=place.store / "again"))
    return asked, method, Predictor(folder, torch.device("cpu"))


def some(ground: Ground, corpora: tuple[str, ...]) -> list[str]:
    ids = [clip.id for clip in ground.prepared.utterances if clip.corpus in corpora]
    return ids[:: max(1, len(ids) // CLIPS)]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("crop", ["head", "centre", "random", "chunks"])
def test_files_get_the_probabilities_that_evaluation_gives_them(
    demo_ground: Ground, demo_store: Path, tmp_path: Path, name: str, crop: str
) -> None:
    place, cell = workspace(demo_ground, tmp_path), spec(demo_ground, CONFIGS[name])
    cell = replace(cell, front_end=replace(cell.front_end, crop=crop))
    asked, method, predictor = made(place, cell)
    ids = some(demo_ground, ("demo_arda", "demo_home"))
    found = predictor.predict([demo_store / "demo" / "data" / each for each in ids])
    expected = evaluated(method, asked, place, ids)
    assert np.abs(found - expected).max() < TOLERANCE
    assert np.abs(found.sum(1) - 1).max() < 1e-12
    assert len({tuple(row) for row in found.round(3)}) > CLIPS / 2  # it does tell clips apart


@pytest.mark.slow
@pytest.mark.parametrize("name", ["byol", "cl"])
def test_on_a_cpu_a_model_computes_in_fp32_whatever_it_was_trained_in(
    demo_ground: Ground, demo_store: Path, tmp_path: Path, name: str
) -> None:
    place, cell = workspace(demo_ground, tmp_path), spec(demo_ground, CONFIGS[name])
    folder = refit(refit_of(replace(cell, training=replace(cell.training, precision="bf16")), place), place)
    predictor = Predictor(folder, torch.device("cpu"))
    assert predictor.spec.training.precision == "bf16"
    seen = []
    for layer in predictor.encoder.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda _layer, _heard, told: seen.append(told.dtype))
    predictor.predict([demo_store / "demo" / "data" / each for each in some(demo_ground, ("demo_arda",))])
    assert set(seen) == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("config", [
    PairwiseConfig(view_names=("layers", "mel")),
    PairwiseConfig(view_names=("layers", "mel"), classify="mel"),
    PairwiseConfig(classify="all"),
])  # fmt: skip
def test_views_too(demo_store: Path, tmp_path: Path, config: PairwiseConfig) -> None:
    try:
        require_packages(config)
    except UserError as error:
        pytest.skip(str(error))
    ground = find(Places(demo_store, None, None, "demo_within"), lambda _: None)
    split = Splits(ground.protocol, ground.prepared).of("demo-home", 0, config)
    where = ("demo_within", "speaker", "demo-home", 0, 0, ground.encoder_fingerprint)
    what = (split.fingerprint(ground.prepared), code_version("pairwise"))
    cell = CellSpec("pairwise", config, TRAINING, ground.protocol.front_end, *where, *what)
    place = workspace(ground, tmp_path)
    asked, method, predictor = made(place, cell)
    ids = some(ground, ("demo_home",))
    found = predictor.predict([demo_store / "demo" / "data" / each for each in ids])
    assert np.abs(found - evaluated(method, asked, place, ids)).max() < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("config", [BaselineConfig(), BYOL])
def test_real_speech_of_any_rate_through_a_real_encoder(
    data_root: Path, encoder_dir: Path, tmp_path: Path, config: MethodConfig
) -> None:
    """URDU is 44.1 kHz, this copy of EMO-DB 22.05 kHz, RAVDESS 16 kHz, one of its files stereo."""
    ground = find(Places(tmp_path, data_root, str(encoder_dir), "open"), lambda _: None)
    target = "urdu" if config is BYOL else None
    split = Splits(ground.protocol, ground.prepared).of(target, 0, config)
    training = replace(TRAINING, steps=2, encoder_lr=1e-4)
    method_name = "byol" if config is BYOL else "baseline"
    where = ("open", "speaker", target, 0, 0, ground.encoder_fingerprint, split.fingerprint(ground.prepared))
    front_end = replace(ground.protocol.front_end, length_s=1.0)
    cell = CellSpec(method_name, config, training, front_end, *where, code_version(method_name))
    place = workspace(ground, tmp_path)
    asked, method, predictor = made(place, cell)
    stereo = [
        clip.id
        for clip in ground.prepared.utterances
        if clip.corpus == "ravdess" and soundfile.info(data_root / clip.path).channels == 2
    ]
    assert stereo
    ids = [*some(ground, ("urdu",)), *some(ground, ("emodb",)), *some(ground, ("ravdess",)), *stereo]
    found = predictor.predict([str(data_root / each) for each in ids])
    assert np.abs(found - evaluated(method, asked, place, ids)).max() < TOLERANCE
    assert configuration(encoder_dir)["d_model"] == predictor.encoder.dimensions


@pytest.fixture(scope="module")
def model(demo_ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline of four steps."""
    place = workspace(demo_ground, tmp_path_factory.mktemp("model"))
    return refit(refit_of(spec(demo_ground, BaselineConfig()), place), place)


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor(model, torch.device("cpu"))


@pytest.fixture
def wav(demo_store: Path) -> Path:
    return sorted((demo_store / "demo" / "data" / "demo_arda").rglob("*.wav"))[0]


def test_it_needs_nothing_but_its_folder_and_neither_ray_nor_mlflow(model: Path, wav: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere"
    shutil.copytree(model, alone)
    program = (
        "import sys; from trainers.predictor import Predictor; "
        f"found = Predictor({str(alone)!r}).predict([{str(wav)!r}]); "
        "print(sorted({'ray', 'mlflow', 'orchestrator'} & set(sys.modules))); print(found.round(4).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    loaded, found = done.stdout.splitlines()
    assert loaded == "[]"
    assert json.loads(found) == Predictor(model).predict([wav]).round(4).tolist()


def test_a_waveform_counts_as_its_file_whatever_form_it_has(predictor: Predictor, wav: Path) -> None:
    samples, rate = soundfile.read(wav, dtype="float32")
    integers, _ = soundfile.read(wav, dtype="int16")
    forms = [
        str(wav),
        (samples, rate),
        (samples.astype(np.float64), float(rate)),
        (samples.tolist(), rate),
        (samples[:, None], rate),
        (np.stack([samples, samples], axis=1), rate),
        (integers, rate),
    ]
    found = predictor.predict(forms)
    assert np.abs(found - found[0]).max() < TOLERANCE


def test_a_batch_gets_what_each_clip_gets_alone_in_any_order(predictor: Predictor, demo_store: Path) -> None:
    files = sorted((demo_store / "demo" / "data").rglob("*.wav"))[:70]
    together = predictor.predict(files)
    assert np.abs(together[::-1] - predictor.predict(files[::-1])).max() < TOLERANCE
    assert np.abs(together[69] - predictor.predict([files[69]])).max() < TOLERANCE
    assert predictor.predict([]).shape == (0, len(EMOTIONS))


def test_another_rate_of_the_same_sound_is_heard_alike(predictor: Predictor, wav: Path) -> None:
    at_16 = listen(wav)
    at_48 = soxr.resample(at_16, 16_000, 48_000, quality="VHQ")
    found = predictor.predict([(at_16, 16_000), (at_48, 48_000)])
    assert np.abs(found[0] - found[1]).max() < 0.02


@pytest.mark.parametrize("seconds", [1 / 16_000, 0.01, 0.5, 95.0])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_any_length_and_rate_gives_probabilities(predictor: Predictor, seconds: float, rate: int) -> None:
    count = max(8, round(seconds * rate))
    noise = np.random.default_rng(0).normal(0, 0.1, count).astype(np.float32)
    found = predictor.predict([(noise, rate)])
    assert found.shape == (1, 4)
    assert np.isfinite(found).all()
    assert abs(found.sum() - 1) < 1e-12


@pytest.mark.slow
def test_a_long_recording_in_windows_has_the_normalised_geometric_mean_of_theirs(
    demo_ground: Ground, tmp_path: Path
) -> None:
    """The mean of logits, by another way; 150 windows go through the encoder in several batches."""
    place, cell = workspace(demo_ground, tmp_path), spec(demo_ground, BaselineConfig())
    cell = replace(cell, front_end=FrontEnd(trim_db=None, rms_db=None, crop="chunks", length_s=0.5))
    predictor = Predictor(refit(refit_of(cell, place), place), torch.device("cpu"))
    tiled = np.resize(place.prepared.samples(some(demo_ground, ("demo_home",))[0]), 8000 * 150)
    windows = predictor.probabilities(np.split(tiled, 150))
    geometric = np.exp(np.log(windows).mean(0))
    found = predictor.predict([(tiled, 16_000)])
    assert np.abs(found[0] - geometric / geometric.sum()).max() < TOLERANCE


def test_bad_audio_is_told_in_one_line_that_names_it(predictor: Predictor, wav: Path, tmp_path: Path) -> None:
    tone = np.sin(np.arange(8000) / 10)
    bad = {
        name: tmp_path / name for name in ("text.wav", "empty.wav", "none.wav", "nan.wav", "silent.wav", "short.wav")
    }
    bad["text.wav"].write_text("no audio")
    bad["empty.wav"].write_bytes(b"")
    soundfile.write(bad["none.wav"], tone[:0], 16_000)
    soundfile.write(bad["nan.wav"], np.where(np.arange(8000) == 7, np.nan, tone), 16_000, subtype="FLOAT")
    soundfile.write(bad["silent.wav"], tone * 0, 16_000)
    bad["short.wav"].write_bytes(wav.read_bytes()[:-1000])
    for path in (*bad.values(), tmp_path / "absent.wav", tmp_path):
        with pytest.raises(UserError) as told:
            predictor.predict([wav, path])
        assert str(told.value).startswith(f"{path}: ")
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("waveform", "rate", "why"),
    [
        ([], 16_000, "no samples"),
        ([0.0] * 100, 16_000, "silence alone"),
        ([0.1, np.nan], 16_000, "NaN"),
        ([0.1, np.inf], 16_000, "NaN or infinite"),
        ([0.1, 0.2], 0, "must be above 0"),
        ([0.1, 0.2], float("nan"), "must be above 0"),
        ([0.1, 0.2], "16 kHz", "must be above 0"),
        (np.ones((2, 16_000)), 16_000, r"\(samples, channels\)"),
        (np.ones((2, 2, 2)), 16_000, r"\(samples, channels\)"),
        (["a", "b"], 16_000, "must be floats"),
        (np.ones(9, dtype=np.uint8), 16_000, "must be floats"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_bad_waveform_is_told_in_one_line_with_its_place(waveform: object, rate: float, why: str) -> None:
    with pytest.raises(UserError, match=f"waveform 3: .*{why}") as told:
        listen((waveform, rate), 3)
    assert "\n" not in str(told.value)


def test_loading_a_model_leaves_the_callers_random_numbers_alone(model: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Predictor(model)
    assert torch.equal(torch.rand(3), expected)


def test_a_model_whose_description_was_altered_is_refused_in_one_line(model: Path, tmp_path: Path) -> None:
    def altered(**changes: object) -> Path:
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        shutil.copytree(model, folder)
        told = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(told | changes))
        return folder

    told = json.loads((model / "model.json").read_text())
    config = told["encoder"]["config"]
    wrong = {
        "damaged": altered(weights_sha256="0" * 64),
        "knows": altered(emotions=["angry"]),
        "does not fit": altered(encoder={"config": {**config, "encoder_layers": 1}, "do_normalize": None}),
        "unknown method": altered(spec={**told["spec"], "method": "byool"}),
    }
    for why, folder in wrong.items():
        with pytest.raises(UserError, match=why) as error:
            Predictor(folder)
        assert "\n" not in str(error.value)
    assert folder_of(model.parent.parent, model.name) == model
