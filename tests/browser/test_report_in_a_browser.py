"""Reports in a real browser: everything draws, nothing is fetched, labels can be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.campaign

SCREENS = [
    pytest.param(1280, "light", id="wide-light"),
    pytest.param(390, "dark", id="narrow-dark"),
]

OVERLAPPING = """() => {
  // Labels of one axis or legend that lie on each other by more than a pixel, and those cut off.
  const found = [];
  for (const svg of document.querySelectorAll('.plot svg.marks')) {
    const whole = svg.getBoundingClientRect();
    const plot = svg.closest('figure').id;
    for (const group of svg.querySelectorAll('.role-axis-label, .role-legend-label')) {
      const texts = [...group.querySelectorAll('text')].filter(
        (text) => text.textContent && getComputedStyle(text).opacity !== '0');
      const boxes = texts.map((text) => text.getBoundingClientRect());
      boxes.forEach((box, at) => {
        if (box.left < whole.left - 1 || box.right > whole.right + 1)
          found.push(`${plot}: cut: ${texts[at].textContent}`);
        for (let other = at + 1; other < boxes.length; other++) {
          const next = boxes[other];
          if (box.left < next.right - 1 && next.left < box.right - 1 &&
              box.top < next.bottom - 1 && next.top < box.bottom - 1)
            found.push(`${plot}: ${texts[at].textContent} on ${texts[other].textContent}`);
        }
      });
    }
  }
  return found;
}"""


@contextmanager
def opened(browser: Any, page: Path, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """The page, drawn; whatever it asks for and complains about is an error."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    shown, said, asked = context.new_page(), [], []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(page.as_uri())
    shown.wait_for_function("document.documentElement.dataset.report", timeout=60_000)
    yield shown
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def look(shown: Any) -> None:
    """Every plot is drawn, none is wider than the screen, and labels can be read."""
    assert shown.evaluate("document.documentElement.dataset.report") == "drawn"
    assert shown.evaluate("adpkvReport.errors") == []
    drawn = shown.evaluate("document.querySelectorAll('.plot[data-drawn] svg.marks path').length")
    assert drawn > 20
    plots = shown.evaluate("document.querySelectorAll('.plot').length")
    assert shown.evaluate("document.querySelectorAll('.plot[data-drawn]').length") == plots > 2
    width = shown.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
    assert shown.evaluate(OVERLAPPING) == []


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_a_run(browser: Any, run_page: Path, width: int, scheme: str) -> None:
    with opened(browser, run_page, width, scheme) as shown:
        look(shown)
        background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_a_sweep(browser: Any, sweep_page: Path, width: int, scheme: str) -> None:
    with opened(browser, sweep_page, width, scheme) as shown:
        look(shown)


def test_what_is_chosen_is_drawn(browser: Any, run_page: Path) -> None:
    """Each choice of each plot, and labels of each."""
    with opened(browser, run_page) as shown:
        for select in shown.query_selector_all("select[data-plot]"):
            name = select.get_attribute("data-plot")
            for option in select.query_selector_all("option"):
                label = option.text_content()
                select.select_option(label=label)
                shown.wait_for_selector(f"#plot-{name} .plot[data-drawn='{label}']")
        look(shown)


def test_all_plots_follow_the_part_of_the_time_that_is_dragged_across(
    browser: Any, run_page: Path
) -> None:
    with opened(browser, run_page) as shown:
        whole = shown.evaluate("adpkvReport.time()")
        place = shown.locator("#plot-in-flight .plot svg.marks")
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        middle = box["y"] + box["height"] / 2
        shown.mouse.move(box["x"] + box["width"] * 0.3, middle)
        shown.mouse.down()
        shown.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
        shown.mouse.up()
        shown.wait_for_function(f"adpkvReport.time()[1] < {whole[1]}")
        low, high = shown.evaluate("adpkvReport.time()")
        assert whole[0] < low < high < whole[1]
        scale = "adpkvReport.views.get('blocks').scale('x').domain()"
        shown.wait_for_function(f"Math.abs({scale}[0] - {low}) < 1e-9")
        assert shown.evaluate(scale) == pytest.approx([low, high])
        shown.mouse.dblclick(box["x"] + box["width"] * 0.45, middle)
        shown.wait_for_function(f"adpkvReport.time()[1] === {whole[1]}")


def test_a_table_of_points_is_sorted_by_its_headings(browser: Any, sweep_page: Path) -> None:
    with opened(browser, sweep_page) as shown:
        shown.get_by_role("button", name="ttft_p99").click()
        cells = "#all-points tbody td:nth-child({})"
        heads = shown.evaluate(
            "[...document.querySelectorAll('#all-points th')].map((one) => one.textContent)"
        )
        column = cells.format(heads.index("ttft_p99") + 1)
        values = shown.evaluate(
            f"[...document.querySelectorAll('{column}')].map((one) => Number(one.dataset.v))"
        )
        assert len(values) == 6
        assert values == sorted(values, reverse=True)


def test_a_plot_that_cannot_be_drawn_is_noticed(
    browser: Any, run_page: Path, tmp_path: Path
) -> None:
    """The check of the other tests fires; the page says it, and draws the rest."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        run_page.read_text().replace('"mark":{"type":"bar"', '"mark":{"type":"bär"', 1)
    )
    with opened(browser, broken) as shown:
        assert shown.evaluate("document.documentElement.dataset.report") == "failed"
        assert shown.evaluate("adpkvReport.errors.length") == 1
        assert "cannot be drawn" in shown.locator(".plot .failed").first.text_content()
        plots = shown.evaluate("document.querySelectorAll('.plot').length")
        assert shown.evaluate("document.querySelectorAll('.plot[data-drawn]').length") == plots - 1


def test_numbers_on_a_linear_axis_are_equally_far_apart(browser: Any, sweep_page: Path) -> None:
    """Where all did not fit, the short ones stayed: 0.09, 0.1, 0.11, 0.13, ... 0.19, 0.2, 0.21."""
    with opened(browser, sweep_page) as shown:
        for select in shown.query_selector_all("select[data-plot='pareto'] option"):
            label = select.text_content()
            shown.select_option("select[data-plot='pareto']", label=label)
            shown.wait_for_selector(f"#plot-pareto .plot[data-drawn='{label}']")
            labels = shown.evaluate(
                "[...document.querySelectorAll('#plot-pareto .role-axis-label')].map((group) =>"
                " [...group.querySelectorAll('text')].filter((text) => text.textContent &&"
                " getComputedStyle(text).opacity !== '0').map((text) => text.textContent))"
            )
            assert max(map(len, labels)) > 2
            for texts in labels:
                values = [
                    float(text.rstrip("%").replace(",", "").replace("−", "-")) for text in texts
                ]
                gaps = [after - before for before, after in pairwise(values)]
                assert values[0] >= 0, "no figure here can be negative"
                assert gaps == pytest.approx([gaps[0]] * len(gaps)), texts


def test_labels_on_each_other_are_noticed(browser: Any, run_page: Path) -> None:
    with opened(browser, run_page) as shown:
        shown.evaluate(
            "document.querySelectorAll('#plot-ranks .role-axis-label text').forEach("
            "(text) => text.setAttribute('transform', ''))"
        )
        assert any("plot-ranks" in found for found in shown.evaluate(OVERLAPPING))
