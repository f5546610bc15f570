"""What docs/connect-3cx.md tells people to write is a configuration."""

import re
from pathlib import Path

import pytest

from tests.support.settings import parse_settings

PROJECT = Path(__file__).parents[4]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (PROJECT / "docs/connect-3cx.md").read_text(encoding="utf-8"), re.DOTALL)
REST = "api: { base_url: https://call-logger.example.com/api }\n"


SOURCES = ["v20", "v20", "xapi", "v18", "calllog"]


@pytest.mark.parametrize(("block", "source"), list(zip(BLOCKS, SOURCES, strict=True)), ids=range(len(SOURCES)))
def test_each_block_of_configuration_reads_calls_of_its_source_from_now_on(block, source):
    secrets = {"XAPI_ID": "a", "XAPI_SECRET": "b"} if source == "xapi" else {"CDR_DB_PASSWORD": "c"}
    three_cx = parse_settings(block + REST, secrets, PROJECT).three_cx
    assert (three_cx.source, three_cx.start_from) == (source, "now")
