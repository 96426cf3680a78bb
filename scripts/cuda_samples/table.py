"""The tables of docs/samples.md: every sample, and whether and how it is run; and what came of it."""

import dataclasses
import re

LISTED = "listed"
STOCK = "stock"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One row. `folder` is below the checkout's Samples; `reason` says why the sample is not run and is empty when it
    is; `settings` are the words in backticks behind "listed"."""
    folder: str
    name: str
    needs: str
    reason: str
    settings: tuple = ()

    @property
    def listed(self):
        return not self.reason

    @property
    def stock(self):
        """Whether it is one of those that are also built by their own CMake files."""
        return STOCK in self.settings

    @property
    def architecture(self):
        """The PTX that it has to be built as, when the default is too old; else None."""
        return next((setting for setting in self.settings if setting.startswith("compute_")), None)

    @property
    def environment(self):
        return dict(setting.split("=", 1) for setting in self.settings if "=" in setting)


def parse_row(folder, line):
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    if len(cells) != 3 or not all(cells):
        raise ValueError(f'a row must have the cells sample, needs and run, but it is "{line}"')
    name, needs, run = cells
    if run.startswith("no: "):
        return Sample(folder, name, needs, run.removeprefix("no: "))
    word, _, rest = run.partition(",")
    settings = tuple(re.findall(r"`([^`]+)`", rest))
    known = all(re.fullmatch(rf"{STOCK}|compute_\d+|[A-Z_]+=\S+", setting) for setting in settings)
    if word != LISTED or not known or re.sub(r"`[^`]+`|,|\s", "", rest):
        raise ValueError(f'{name} must be "listed", with settings in backticks, or "no: " and a reason, but is "{run}"')
    return Sample(folder, name, needs, "", settings)


def parse(text):
    """The samples of the page, in its order. Rows stand below headings of the form "### FOLDER"."""
    samples, folder = [], None
    for line in text.splitlines():
        if line.startswith("#"):
            heading = re.fullmatch(r"### (\d_\S+)", line)
            folder = heading.group(1) if heading else None
        elif folder and line.startswith("|") and not re.match(r"\| sample |\|-", line):
            samples.append(parse_row(folder, line))
    names = [sample.name for sample in samples]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"listed more than once: {', '.join(twice)}")
    return samples


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a sample. `cause` is empty when there is nothing to say."""
    name: str
    verdict: str  # through the stack
    native: str
    cause: str


def parse_results(text):
    """The rows of the table below the heading "## Results"."""
    _, _, below = text.partition("\n## Results\n")
    rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in below.splitlines()
            if line.startswith("|") and not re.match(r"\| sample |\|-", line)]
    wrong = [cells for cells in rows if len(cells) != 4]
    if wrong:
        raise ValueError("a row of results must have the cells sample, through the stack, natively and cause, but is "
                         f"{wrong[0]}")
    return [Result(*cells) for cells in rows]
