"""The text encoder: trained as SAT does it, read without torch, small and quick."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_pathseg.errors import ModelError
from napari_pathseg.training.words import (
    Concept,
    PairSampler,
    WordEncoder,
    WordsRecipe,
    choose_features,
    encoder_tensors,
    knowledge_contrast,
    train_words,
)
from napari_pathseg.vocabulary import embed
from napari_pathseg.vocabulary.encoder import TextEncoder, shipped_encoder

KINDS = ("red", "blue", "green", "dark", "pale", "small", "large", "round")
PARTS = {"alpha": "nucleus", "omega": "gland", "kappa": "vessel", "sigma": "stroma"}
CONCEPTS = tuple(
    Concept(
        (f"{kind} {part}", f"{other} {kind}", f"{kind} {other}"),
        f"A {part} that is {kind}.",
        (part,),
    )
    for kind in KINDS
    for part, other in PARTS.items()
)
EVERYDAY = ("violin", "bread", "umbrella")
SMALL = WordsRecipe(
    features=600, words=100, pairs=20, width=24, hidden=32, epochs=60, batch=32, everyday=8,
    rate=1e-2,
)  # fmt: skip


def test_the_loss_is_that_of_a_loop_and_leaves_other_positives_out() -> None:
    generator = torch.Generator().manual_seed(1)
    u, v, others = (
        torch.nn.functional.normalize(torch.randn(n, 5, generator=generator), dim=1)
        for n in (6, 6, 3)
    )
    concept, scale = [0, 1, 0, 2, 2, 3], 7.0

    def one_way(a: torch.Tensor, b: torch.Tensor) -> float:
        total = 0.0
        for i in range(6):
            logits = [float(scale * a[i] @ b[i])]
            logits += [float(scale * a[i] @ b[j]) for j in range(6) if concept[j] != concept[i]]
            logits += [float(scale * a[i] @ other) for other in others]
            total += -logits[0] + float(np.log(np.exp(logits).sum()))
        return total / 6

    loss = knowledge_contrast(u, v, torch.tensor(concept), torch.tensor(scale), others)
    assert float(loss) == pytest.approx((one_way(u, v) + one_way(v, u)) / 2, abs=1e-5)
    # Were the other texts of a concept negatives, pulling them apart would lower the loss.
    same = torch.ones(6, dtype=torch.long)
    assert float(knowledge_contrast(u, v, same, torch.tensor(scale))) == pytest.approx(0, abs=1e-6)


def test_pairs_are_synonyms_definitions_and_relations_in_both_directions() -> None:
    recipe = WordsRecipe(definition_chance=1, relation_chance=1, noise_chance=0)
    concept = Concept(("gland", "glandula"), "Group of cells.", ("organ part",), weight=40)
    pairs = set(PairSampler([concept], recipe).epoch())
    for other in ("glandula", "Group of cells.", "kind of organ part"):
        assert {(0, "gland", other), (0, other, "gland")} <= pairs
    assert all("gland" in pair for pair in pairs)


def test_training_finds_a_name_by_a_synonym_and_a_definition_that_were_never_paired() -> None:
    hidden = {"blue nucleus", "dark gland", "pale vessel", "round stroma"}
    seen = [Concept(tuple(n for n in c.names if n not in hidden), "", c.wider) for c in CONCEPTS]
    encoder = train_words(seen, EVERYDAY, SMALL)
    reader = TextEncoder(encoder_tensors(encoder), "test")
    names = [concept.names[0] for concept in CONCEPTS]
    vectors = reader.embed(names)
    wanted = {"blue nucleus": "blue alpha", "dark gland": "dark omega"}
    wanted |= {"pale vessel": "pale kappa", "round stroma": "round sigma"}
    for text, name in wanted.items():
        assert names[int((vectors @ reader.embed([text])[0]).argmax())] == name
    chances = reader.relevance(reader.embed(["violin bread", "blue nucleus"]))
    assert chances[0] < 0.5 < chances[1]
    again = train_words(seen, EVERYDAY, SMALL)
    assert torch.equal(again.table.weight, encoder.table.weight)


def test_the_reader_computes_what_was_trained() -> None:
    torch.manual_seed(0)
    encoder = WordEncoder(choose_features(CONCEPTS, ["violin"], SMALL), 24, 32)
    torch.nn.init.normal_(encoder.attention)
    torch.nn.init.normal_(encoder.output.weight, std=0.3)
    texts = ["red alpha", "nucleus blue", "", "violin", "zzzz", "green green stroma of round red"]
    with torch.no_grad():
        trained = encoder(texts).numpy()
    read = TextEncoder(encoder_tensors(encoder), "test").embed(texts)
    assert np.abs((trained * read).sum(axis=1) - 1).max() < 1e-3


def test_the_shipped_encoder_is_small_and_quick_and_needs_no_torch() -> None:
    file = resources.files("napari_pathseg.vocabulary") / "data" / "words.npz"
    with resources.as_file(file) as path:
        assert path.stat().st_size <= 15_000_000
    embed("warm up")
    times = []
    for text in ("perineural tumour growth", "neutrophils in the mucinous lakes of the colon"):
        started = time.process_time()
        vector = embed(text)
        times.append(time.process_time() - started)
        assert vector.shape == (shipped_encoder().width,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert min(times) < 0.03  # under 10 ms on a quiet core
    code = "import sys; from napari_pathseg.vocabulary import embed; embed('gland');"
    code += "print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("near", "than"),
    [
        (("fat", "adipose tissue"), ("fat", "bone")),
        (("PMNs", "neutrophil"), ("PMNs", "lymphocyte")),
        (("tumour necrosis", "dead tumor tissue"), ("tumour necrosis", "vessel")),
        (("renal cortex", "cortex of the kidney"), ("renal cortex", "renal medulla")),
        (("carcinoma cell", "tumor cell"), ("carcinoma cell", "plasma cell")),
    ],
)
def test_texts_that_mean_the_same_are_nearer(near: tuple[str, str], than: tuple[str, str]) -> None:
    encoder = shipped_encoder()
    (a, b), (c, d) = (encoder.embed(pair) for pair in (near, than))
    assert a @ b > c @ d + 0.1


def test_a_file_that_is_no_encoder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(ModelError, match=r"words\.npz"):
        TextEncoder.load(path)
    np.savez(path, features=np.zeros(3, np.uint32))
    with pytest.raises(ModelError, match="table is missing"):
        TextEncoder.load(path)
