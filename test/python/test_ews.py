"""exchangelib, a client of Exchange that others wrote, judges the messages of internal/ews/soap: it would ask as we do, and it
understands what we answer. There is no server of Exchange Web Services among the packages of Python or JavaScript."""

import datetime
import pathlib
import types
import unittest
import xml.etree.ElementTree as ElementTree

from exchangelib import UTC, EWSDateTime
from exchangelib.errors import ErrorMailRecipientNotFound
from exchangelib.properties import (
    DaylightTime,
    FreeBusyViewOptions,
    MailboxData,
    StandardTime,
    TimeWindow,
    TimeZone,
)
from exchangelib.services import GetUserAvailability
from exchangelib.version import EXCHANGE_2010_SP2, Version

MESSAGES = pathlib.Path(__file__).parents[2] / "internal" / "ews" / "soap" / "testdata"
TWO = datetime.time(2)


class Service(GetUserAvailability):
    """The service without a connection."""

    def __init__(self):
        self.protocol = types.SimpleNamespace(version=Version(EXCHANGE_2010_SP2))
        self.tzinfo = UTC

    _account_to_impersonate = None


def flat(element, path=""):
    """The elements of a document in order, each with its path, attributes and text; true and false as 1 and 0."""
    path += "/" + element.tag
    text = (element.text or "").strip()
    yield path, sorted(element.attrib.items()), {"true": "1", "false": "0"}.get(text, text)
    for child in element:
        yield from flat(child, path)


class Messages(unittest.TestCase):
    def test_request(self):
        service = Service()
        zone = TimeZone(
            bias=0,
            standard_time=StandardTime(bias=0, time=TWO, occurrence=5, iso_month=10, weekday=7),
            daylight_time=DaylightTime(bias=0, time=TWO, occurrence=5, iso_month=3, weekday=7),
        )
        window = TimeWindow(start=EWSDateTime(2021, 5, 4, tzinfo=UTC), end=EWSDateTime(2021, 5, 6, tzinfo=UTC))
        options = FreeBusyViewOptions(time_window=window, merged_free_busy_interval=30, requested_view="DetailedMerged")
        mailboxes = [
            MailboxData(email=a, attendee_type="Required", exclude_conflicts=False)
            for a in ("ann@far.example", "o'b<&>@far.example")
        ]
        theirs = service.wrap(service.get_payload(mailboxes, zone, options), api_version="Exchange2010_SP2")
        ours = (MESSAGES / "request.xml").read_bytes()
        self.assertEqual(list(flat(ElementTree.fromstring(ours))), list(flat(ElementTree.fromstring(theirs))))

    def test_response(self):
        service = Service()
        answer = types.SimpleNamespace(iter_content=lambda: iter([(MESSAGES / "response.xml").read_bytes()]))
        _, body = service._get_soap_parts(answer)
        found, missing = service._get_soap_messages(body)
        view = service._elem_to_obj(next(iter(service._get_elements_in_response([found]))))
        self.assertEqual((view.view_type, view.merged), ("DetailedMerged", "0022"))
        busy, out = view.calendar_events
        self.assertEqual(busy.start, EWSDateTime(2021, 5, 4, 1, tzinfo=UTC))
        self.assertEqual((busy.busy_type, out.busy_type), ("Busy", "OOF"))
        details = busy.details
        self.assertEqual((details.id, details.subject, details.location), ("00AB", "Lunch & <more>", "Café"))
        flags = details.is_meeting, details.is_recurring, details.is_exception, details.is_reminder_set, details.is_private
        self.assertEqual(flags, (True, True, False, True, False))
        self.assertIsNone(out.details)
        (period,) = view.working_hours
        self.assertEqual((period.weekdays, period.start, period.end), ([1, 5], datetime.time(8), datetime.time(17)))
        zone = view.working_hours_timezone
        self.assertEqual((zone.bias, zone.daylight_time.bias, zone.daylight_time.iso_month), (-60, -60, 3))
        (error,) = service._get_elements_in_response([missing])
        self.assertIsInstance(error, ErrorMailRecipientNotFound)


if __name__ == "__main__":
    unittest.main()
