"""One gateway for each file: its tests use other connections, and begin with an upstream that has seen nothing.

Under granian (BFF_TEST_SERVER=granian) the parser is hyper's, and our protocol class is not there. What these tests show of either
is passed over there, each with its reason; all else holds under both.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.gateway_world import SERVER
from support.raw_world import RawWorld, raw_world

CLOSES = "hyper closes without an answer, or answers with another status"
LENIENT = "hyper lets the coding win over a length, and takes two equal lengths for one, as RFC 9112 section 6.3 allows"
LIMITS = "granian has its own limits: http1_settings"
TARGET = "granian tells the application no authority and no fragment: only uvicorn's protocol can judge them"
OTHERS = "granian's own handling of CONNECT, of HTTP/1.0, and of upgrades"

UNDER_GRANIAN = {
    "test_a_coding_said_in_a_strange_way_is_refused": CLOSES,
    "test_a_coding_that_is_not_exactly_chunked_is_refused": CLOSES,
    "test_a_field_line_that_others_read_differently_is_refused": CLOSES,
    "test_a_start_line_that_others_read_differently_is_refused": CLOSES,
    "test_malformed_chunks_are_refused": CLOSES,
    "test_malformed_chunks_are_refused_byte_by_byte": CLOSES,
    "test_http_2_is_refused_cleanly": CLOSES,
    "test_proxy_protocol_is_refused": CLOSES,
    "test_length_and_coding_together_are_refused": LENIENT,
    "test_two_lengths_are_refused": LENIENT,
    "test_framing_without_content_is_bounded": LIMITS,
    "test_a_large_head_is_refused": LIMITS,
    "test_a_head_without_end_is_refused_in_time": LIMITS,
    "test_a_long_target_is_refused": LIMITS,
    "test_a_slow_head_does_not_cut_an_answer": LIMITS,
    "test_a_slow_head_is_refused": LIMITS,
    "test_a_slow_second_head_is_refused_too": LIMITS,
    "test_a_refused_body_is_not_read_for_ever": LIMITS,
    "test_a_fragment_is_no_part_of_a_target": TARGET,
    "test_a_target_that_is_none_of_the_forms_is_refused": TARGET,
    "test_an_absolute_form_still_needs_one_host": TARGET,
    "test_the_authority_of_an_absolute_form_beats_host": TARGET,
    "test_a_handshake_is_judged_by_its_target_and_host": TARGET,
    "test_an_upgrade_that_is_not_ours_is_ignored": OTHERS,
    "test_a_method_that_is_not_known_is_not_implemented": OTHERS,
    "test_connect_is_refused": OTHERS,
    "test_http_1_0_gets_no_interim_answer": OTHERS,
    "test_half_a_handshake_is_none": OTHERS,
    "test_websocket_may_be_offered_among_other_protocols": OTHERS,
    "test_a_handshake_behind_a_request_is_answered_after_it": OTHERS,
    "test_another_version_is_told_which_one_is_spoken": OTHERS,
    "test_an_offer_that_is_none_is_refused": OTHERS,
    "test_the_management_listener_takes_no_websockets": OTHERS,
    "test_a_long_field_of_a_handshake_passes": LIMITS,
    "test_http_1_0_cannot_upgrade": OTHERS,
    "test_a_handshake_that_is_too_large_is_told_so": LIMITS,
    "test_a_person_sees_a_page_for_what_is_refused_before_the_gateway": CLOSES,
    "test_a_person_sees_a_page_when_the_browser_is_too_slow": LIMITS,
    "test_a_refusal_is_a_problem": CLOSES,
    "test_a_refusal_over_https_says_so": LIMITS,
    "test_a_refused_head_request_gets_no_content": CLOSES,
    "test_what_follows_a_head_request_is_refused_with_content": CLOSES,
    "test_a_refusal_waits_for_the_answers_before_it": CLOSES,
    "test_content_without_a_length_ends_with_the_connection": OTHERS,
    "test_keep_alive_of_http_1_0_changes_nothing": OTHERS,
    "test_other_answers_are_framed_as_ever": OTHERS,
    "test_what_breaks_off_is_reset": OTHERS,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pass over what is about uvicorn's protocol class."""
    for item in items if SERVER == "granian" else ():
        reason = UNDER_GRANIAN.get(getattr(item, "originalname", ""))
        if reason is not None and item.path.parent.name == "http":
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[RawWorld]:
    """The gateway of one file."""
    async with raw_world() as running:
        yield running


@pytest.fixture
def site(gateway: RawWorld) -> RawWorld:
    """The same, with nothing seen yet."""
    return gateway.forget()
