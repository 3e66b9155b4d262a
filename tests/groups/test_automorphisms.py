import itertools

import numpy as np
import pytest
from group_table import NAMES, named, relabelled

from marginlens.groups import automorphisms, feature_permutations, group, outer_automorphisms

# Orders of Out(G) from the literature, and of its image in the permutations of the features.
KNOWN = {
    "S3": (1, 1),
    "S4": (1, 1),
    "S5": (1, 1),
    "S6": (2, 2),  # the only symmetric group with an outer automorphism (Hoelder 1895)
    "A4": (2, 1),  # its two nontrivial linear characters are conjugate: one feature
    "A5": (2, 2),
    "A6": (4, 4),  # PΓL(2,9): one half swaps 5a and 5b, another 8a and 8b
    "Q8": (6, 6),
    "D4": (2, 2),
    "D5": (2, 2),
    "C2xC2": (6, 6),
    "C2xC2xC2": (168, 168),  # GL(3,2)
    "C3xC3": (48, 24),  # GL(2,3), and ±1 moves no feature
    "C7": (6, 3),
    "C8": (4, 2),
    "C12": (4, 2),
    "SL(2,3)": (2, 1),
    "SL(2,7)": (2, 1),  # PGL(2,7) swaps 3 and its conjugate, and keeps the faithful features
}


def is_homomorphism(g, image):
    """By the definition, for every pair."""
    return np.array_equal(image[g.table], g.table[image[:, None], image])


@pytest.mark.parametrize("name", KNOWN)
def test_orders_of_known_outer_automorphism_groups(name):
    g = group(name)
    outer, permuting = KNOWN[name]
    maps = outer_automorphisms(g)
    assert len(maps) == outer
    assert all(is_homomorphism(g, image) for image in maps)
    assert (np.sort(maps, axis=1) == np.arange(g.order)).all()
    if permuting is not None:
        assert len(feature_permutations(g)) == permuting


def brute_force(g):
    """All automorphisms: every choice of images of the generators, extended word by word."""
    found = []
    for images in itertools.product(range(g.order), repeat=len(g.generators)):
        image = {g.identity: g.identity}
        queue, good = [g.identity], True
        while queue and good:
            x = queue.pop()
            for generator, its in zip(g.generators, images, strict=True):
                y, value = int(g.table[x, generator]), int(g.table[image[x], its])
                if y not in image:
                    image[y] = value
                    queue.append(y)
                elif image[y] != value:
                    good = False
                    break
        if good and len(set(image.values())) == g.order:
            found.append([image[x] for x in range(g.order)])
    return np.array(found)


SMALL = ["C1", "C2", "C12", "D4", "D6", "Q8", "Dic3", "C2xC4", "S3", "S4", "A4", "D1", "Q8~2"]


@pytest.mark.parametrize("name", SMALL)
def test_every_outer_class_once_by_brute_force(name):
    g = named(name)
    everything = brute_force(g)
    inner = {tuple(g.table[g.table[x], g.inverses[x]].tolist()) for x in range(g.order)}
    classes = {
        frozenset(tuple(image[np.array(each)].tolist()) for each in inner) for image in everything
    }
    assert len(everything) == len(inner) * len(classes)
    ours = [
        frozenset(tuple(image[np.array(each)].tolist()) for each in inner)
        for image in outer_automorphisms(g)
    ]
    assert len(ours) == len(set(ours))
    assert set(ours) == classes
    np.testing.assert_array_equal(outer_automorphisms(g)[0], np.arange(g.order))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("C1", "Q8xQ8")] + ["S6", "A6"])
def test_permutations_of_features_are_a_group_that_keeps_what_features_have(name):
    g = named(name)
    permutations = feature_permutations(g)
    rows = {tuple(row) for row in permutations.tolist()}
    assert len(rows) == len(permutations)
    assert permutations[0].tolist() == list(range(len(g.irrep_classes) - 1))
    some = permutations[:20]
    assert all(tuple(a[b].tolist()) in rows for a in some for b in some)
    features = g.irrep_classes[1:]
    for row in some:
        for feature, image in zip(features, row, strict=True):
            assert features[image].degree == feature.degree
            assert features[image].type == feature.type


@pytest.mark.parametrize("name", ["S6", "A6", "Q8", "C12", "C2xC2xC4", "A5", "SL(2,3)~4"])
def test_the_permuted_character_table_is_the_same_up_to_the_classes(name):
    g = named(name)
    values = np.array([np.real(g.characters[i.members[0]]) for i in g.irrep_classes[1:]])
    values = values[:, g.class_of]
    rows = {tuple(row) for row in feature_permutations(g).tolist()}
    met = set()
    for image in outer_automorphisms(g):
        moved = values[:, image]  # χ∘α at every element
        (row,) = [row for row in rows if np.allclose(values[list(row)], moved, rtol=0, atol=1e-9)]
        met.add(row)
    assert met == rows


@pytest.mark.parametrize("order", [1, 2, 3, 5, 7, 8, 12, 15, 23])
def test_the_formula_for_cyclic_groups_is_the_search(order, monkeypatch):
    formula = feature_permutations(group(f"C{order}"))
    g = group(f"C{order}")
    assert len(g.irrep_classes) == order // 2 + 1  # by frequency, and kept
    monkeypatch.setitem(vars(g), "generator", None)  # as if it were not known to be cyclic
    np.testing.assert_array_equal(feature_permutations(g), formula)


def test_frequencies_at_a_prime_are_one_cycle():
    assert feature_permutations(group("C7")).tolist() == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    permutations = feature_permutations(group("C113"))
    assert permutations.shape == (56, 56)
    assert (np.sort(permutations, axis=0) == np.arange(56)[:, None]).all()  # regular


def test_named_features_that_are_swapped():
    def swaps(name):
        names = [irrep.name for irrep in group(name).irrep_classes[1:]]
        return {
            tuple(names[j] for j in range(len(names)) if row[j] != j)
            for row in feature_permutations(group(name)).tolist()
        }

    assert swaps("A5") == {(), ("3a", "3b")}
    assert swaps("Q8") == {(), ("1b", "1c"), ("1b", "1d"), ("1c", "1d"), ("1b", "1c", "1d")}
    assert swaps("S3") == {()}
    assert len(max(swaps("D4"), key=len)) == 2


@pytest.mark.parametrize("name", ["Q8", "S4", "A5", "C2xC2xC4", "Dic3"])
def test_renumbered_elements_give_the_same_group(name):
    original = named(name)
    other, new = relabelled(original, 7)
    ours, theirs = outer_automorphisms(original), outer_automorphisms(other)
    assert len(ours) == len(theirs)
    back = np.argsort(new)
    assert all(is_homomorphism(original, back[image[new]]) for image in theirs)
    # The features' numbers may change too: compare where the renumbering takes them.
    values = [np.real(original.characters[i.members[0]]) for i in original.irrep_classes[1:]]
    values = np.array(values)[:, original.class_of]
    moved = [np.real(other.characters[i.members[0]]) for i in other.irrep_classes[1:]]
    moved = np.array(moved)[:, other.class_of[new]]
    to = np.abs(values[:, None] - moved).max(axis=2).argmin(axis=1)
    expected = {tuple(to[row][np.argsort(to)].tolist()) for row in feature_permutations(original)}
    assert {tuple(row) for row in feature_permutations(other).tolist()} == expected


def test_a_wrong_image_is_no_automorphism():
    g = group("D4")
    generators = g.generators
    words = automorphisms._words(g, generators)
    images = np.array([generators, generators[::-1]])  # the second exchanges orders 4 and 2
    np.testing.assert_array_equal(
        automorphisms._automorphisms(g, generators, words, images), [np.arange(8)]
    )


def test_a_search_that_would_be_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(automorphisms, "_MOST_ENTRIES", 8 * 200)
    message = r"expected at most 200 candidate images of generators, got 294 \(order 8, 3"
    with pytest.raises(ValueError, match=message):
        feature_permutations(group("C2xC2xC2"))
