"""What the tests of the API by boto3 share. The server is the one that `pennypost env` exported."""

import contextlib
import itertools
import os
import ssl
import time
import unittest

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

PASSWORD = "examplePa$$w0rd"

_numbers = itertools.count(1)


def unique(prefix):
    """A name that no other test of this run uses."""
    return f"{prefix}{next(_numbers)}"


def client(service="workmail", **kwargs):
    # LimitExceededException counts as throttling: without this each limit would be tried three times.
    return boto3.client(service, config=Config(retries={"max_attempts": 1, "mode": "standard"}), **kwargs)


def wait_for(what, seconds=60):
    """Calls what until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        result = what()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain")
        time.sleep(0.02)


class Case(unittest.TestCase):
    """A test with an organisation of its own, shared by the tests of one class."""

    @classmethod
    def setUpClass(cls):
        cls.api = client()
        cls.alias = unique(cls.__name__.lower().removesuffix("test") + "-")
        cls.org = cls.new_organization(cls.alias)
        cls.domain = f"{cls.alias}.awsapps.com"

    @classmethod
    def new_organization(cls, alias):
        org = cls.api.create_organization(Alias=alias)["OrganizationId"]
        wait_for(lambda: cls.api.describe_organization(OrganizationId=org)["State"] == "Active")
        return org

    def call(self, operation, **kwargs):
        """Calls an operation on the class's organisation and returns the output without its metadata."""
        out = getattr(self.api, operation)(OrganizationId=self.org, **kwargs)
        meta = out.pop("ResponseMetadata")
        self.assertEqual(meta["HTTPStatusCode"], 200)
        self.assertRegex(meta["RequestId"], r"\A[0-9a-f-]{36}\Z")
        return out

    @contextlib.contextmanager
    def refused(self, code, *texts):
        """Expects an exception of the class that boto3 makes of the code, with the texts in its message."""
        with self.assertRaises(ClientError) as caught:
            yield
        error = caught.exception
        self.assertEqual(error.response["Error"]["Code"], code, error)
        if hasattr(self.api.exceptions, code):
            self.assertIsInstance(error, getattr(self.api.exceptions, code))
        self.assertEqual(error.response["ResponseMetadata"]["HTTPStatusCode"], 400)
        for text in texts:
            self.assertIn(text, str(error))
        self.assertTrue(error.response["Error"]["Message"])

    def user(self, name=None, **kwargs):
        return self.call("create_user", Name=name or unique("user"), DisplayName="A User", **kwargs)["UserId"]

    def enabled_user(self, name=None, password=PASSWORD, **kwargs):
        name = name or unique("user")
        user = self.user(name, Password=password, **kwargs)
        address = f"{name}@{self.domain}"
        self.call("register_to_work_mail", EntityId=user, Email=address)
        return user, address

    def pages(self, operation, member, size, **kwargs):
        """All items of a list, read by boto3's paginator in pages of size."""
        pages = self.api.get_paginator(operation).paginate(
            OrganizationId=self.org, PaginationConfig={"PageSize": size}, **kwargs)
        items = []
        for page in pages:
            self.assertLessEqual(len(page[member]), size)
            items += page[member]
        return items


def address_of(listener):
    host, port = os.environ[f"PENNYPOST_{listener.upper()}_ADDR"].rsplit(":", 1)
    return host, int(port)


def tls():
    return ssl.create_default_context(cafile=os.environ["PENNYPOST_CA_FILE"])
