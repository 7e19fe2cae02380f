import datetime
import uuid

from botocore.exceptions import ClientError, ParamValidationError

from support import PASSWORD, Case, unique

MISSING = "m-0123456789abcdef0123456789abcdef"


class CreateUserTest(Case):
    def test_every_parameter(self):
        provider = f"90677c608a-{uuid.uuid4()}"
        user = self.call(
            "create_user", Name="every.parameter-1_x", DisplayName="Ève Ünïcode", Password=PASSWORD, Role="USER",
            FirstName="Ève", LastName="Ünïcode", HiddenFromGlobalAddressList=True, IdentityProviderUserId=provider,
        )["UserId"]
        self.assertEqual(str(uuid.UUID(user)), user)
        out = self.call("describe_user", UserId=user)
        self.assertEqual(out, {
            "UserId": user, "Name": "every.parameter-1_x", "DisplayName": "Ève Ünïcode", "State": "DISABLED", "UserRole": "USER",
            "FirstName": "Ève", "LastName": "Ünïcode", "HiddenFromGlobalAddressList": True, "IdentityProviderUserId": provider,
        } | {k: out[k] for k in ("IdentityProviderIdentityStoreId",) if k in out})

    def test_the_fewest_parameters(self):
        user = self.call("create_user", Name="fewest", DisplayName="")["UserId"]
        out = self.call("describe_user", UserId=user)
        for key, value in {"UserId": user, "Name": "fewest", "DisplayName": "", "State": "DISABLED", "UserRole": "USER",
                           "HiddenFromGlobalAddressList": False}.items():
            self.assertEqual(out[key], value, key)
        for absent in ("Email", "EnabledDate", "DisabledDate", "MailboxProvisionedDate", "MailboxDeprovisionedDate"):
            self.assertNotIn(absent, out)

    def test_name_at_its_limits(self):
        for name in ("a", "a" * 64, "A.b_c-9", "upn@example.com"):
            with self.subTest(name):
                user = self.user(name)
                self.assertEqual(self.call("describe_user", UserId=name)["UserId"], user)
        for name in ("a" * 65, "with space", "ümlaut", "a@b", "a@b.c", "a/b", "trailing\n", "\u0130"):
            with self.subTest(name), self.refused("InvalidParameterException", "'name'"):
                self.user(name)

    def test_several_breaches_are_told_at_once(self):
        with self.refused("InvalidParameterException", "2 validation errors detected", "'name'", "'role'"):
            self.call("create_user", Name="no spaces", DisplayName="x", Role="KING")

    def test_a_password_is_not_repeated(self):
        secret = "\u0001secret-that-must-not-be-shown"
        with self.assertRaises(ClientError) as caught:
            self.user(Password=secret)
        self.assertNotIn("secret-that", str(caught.exception))

    def test_the_client_checks_what_it_can(self):
        with self.assertRaises(ParamValidationError):
            self.call("create_user", Name="", DisplayName="x")
        with self.assertRaises(ParamValidationError):
            self.call("create_user", Name="x")

    def test_invalid_parameter(self):
        for role in ("SYSTEM_USER", "RESOURCE"):
            with self.subTest(role), self.refused("InvalidParameterException", role):
                self.user(Role=role)

    def test_remote_user(self):
        user = self.user(Role="REMOTE_USER")
        self.assertEqual(self.call("describe_user", UserId=user)["UserRole"], "REMOTE_USER")

    def test_invalid_password(self):
        for password in ("Short1!", "alllowercase", "lowerUPPERonly", "aB3" * 22, "onlydigits123"):
            with self.subTest(password), self.refused("InvalidPasswordException"):
                self.user(Password=password)
        for password in (PASSWORD, "TestTest1234!", "lowerUPPER1", "lower-ÄÖÜ-case", "aB3-" + "x" * 59):
            with self.subTest(password):
                self.user(Password=password)

    def test_name_availability(self):
        name = unique("taken")
        self.user(name)
        for again in (name, name.upper()):
            with self.subTest(again), self.refused("NameAvailabilityException", again):
                self.user(again)
        group = self.call("create_group", Name=unique("group"))
        self.assertTrue(group["GroupId"])
        shared = unique("shared")
        self.call("create_group", Name=shared)
        with self.refused("NameAvailabilityException"):
            self.user(shared)
        with self.refused("NameAvailabilityException"):
            self.call("create_resource", Name=shared, Type="ROOM")

    def test_a_name_is_free_after_delete(self):
        name = unique("again")
        first = self.user(name)
        self.call("delete_user", UserId=first)
        second = self.user(name)
        self.assertNotEqual(first, second)
        self.assertEqual(self.call("describe_user", UserId=name)["UserId"], second)

    def test_reserved_name(self):
        for name in ("amazonjournaling", "Administrator"):
            with self.subTest(name), self.refused("ReservedNameException", name):
                self.user(name)

    def test_organization_not_found(self):
        with self.refused("OrganizationNotFoundException", MISSING):
            self.api.create_user(OrganizationId=MISSING, Name="x", DisplayName="x")

    def test_organization_state(self):
        org = self.new_organization(unique("going-"))
        self.api.delete_organization(OrganizationId=org, DeleteDirectory=True)
        with self.refused("OrganizationStateException"):
            self.api.create_user(OrganizationId=org, Name="x", DisplayName="x")

    # The last three of the nine belong to external directories: test/e2e's TestExternalDirectory.


class UsersTest(Case):
    def test_identifiers(self):
        user, address = self.enabled_user("ident")
        for ident in (user, "ident", "IDENT", address, address.upper()):
            with self.subTest(ident):
                self.assertEqual(self.call("describe_user", UserId=ident)["UserId"], user)
        with self.refused("EntityNotFoundException"):
            self.call("describe_user", UserId="nobody-here")

    def test_life(self):
        """The sequence that Terraform's provider makes."""
        user, address = self.enabled_user("life")
        out = self.call("describe_user", UserId=user)
        self.assertEqual((out["State"], out["Email"]), ("ENABLED", address))
        now = datetime.datetime.now(datetime.timezone.utc)
        for date in ("EnabledDate", "MailboxProvisionedDate"):
            self.assertLess(abs(now - out[date]), datetime.timedelta(minutes=5), date)
        changed = dict(
            DisplayName="New", FirstName="F", LastName="L", HiddenFromGlobalAddressList=True, Initials="I", Telephone="1",
            Street="S", JobTitle="J", City="C", Company="Co", ZipCode="Z", Department="D", Country="Co", Office="O",
        )
        self.assertEqual(self.call("update_user", UserId=user, **changed), {})
        out = self.call("describe_user", UserId=user)
        for key, value in changed.items():
            self.assertEqual(out[key], value, key)
        # What is absent stays, what is empty is cleared.
        self.call("update_user", UserId=user, City="")
        out = self.call("describe_user", UserId=user)
        self.assertFalse(out.get("City"))
        self.assertEqual(out["Street"], "S")
        self.call("reset_password", UserId=user, Password="another-Passw0rd")
        with self.refused("EntityStateException"):
            self.call("delete_user", UserId=user)
        self.call("deregister_from_work_mail", EntityId=user)
        out = self.call("describe_user", UserId=user)
        self.assertEqual(out["State"], "DISABLED")
        self.assertIn("DisabledDate", out)
        self.call("delete_user", UserId=user)
        with self.refused("EntityNotFoundException"):
            self.call("describe_user", UserId="life")
        self.assertEqual(self.call("delete_user", UserId="life"), {})

    def test_register_errors(self):
        user, address = self.enabled_user()
        self.call("register_to_work_mail", EntityId=user, Email=address)  # the same again changes nothing
        with self.refused("EntityAlreadyRegisteredException"):
            self.call("register_to_work_mail", EntityId=user, Email=f"other@{self.domain}")
        other = self.user()
        with self.refused("EmailAddressInUseException", address):
            self.call("register_to_work_mail", EntityId=other, Email=address)
        with self.refused("MailDomainNotFoundException"):
            self.call("register_to_work_mail", EntityId=other, Email="x@unregistered.example.com")
        self.call("register_mail_domain", DomainName="pending.example.com")
        with self.refused("MailDomainStateException"):
            self.call("register_to_work_mail", EntityId=other, Email="x@pending.example.com")
        with self.refused("EntityNotFoundException"):
            self.call("register_to_work_mail", EntityId="nobody-here", Email=f"n@{self.domain}")

    def test_mailbox_details(self):
        user, _ = self.enabled_user()
        out = self.call("get_mailbox_details", UserId=user)
        self.assertEqual(out["MailboxQuota"], 51200)
        self.assertEqual(out["MailboxSize"], 0.0)
        self.call("update_mailbox_quota", UserId=user, MailboxQuota=100)
        self.assertEqual(self.call("get_mailbox_details", UserId=user)["MailboxQuota"], 100)
        with self.refused("InvalidParameterException"):
            self.call("update_mailbox_quota", UserId=user, MailboxQuota=51201)
        with self.refused("EntityStateException"):
            self.call("update_mailbox_quota", UserId=self.user(), MailboxQuota=100)


class ListUsersTest(Case):
    def test_pages_and_filters(self):
        names = sorted(f"page-{i:03}" for i in range(23))
        ids = {self.call("create_user", Name=n, DisplayName=f"Page {n}")["UserId"]: n for n in names}
        for size in (1, 7, 23, 100):
            with self.subTest(size):
                users = self.pages("list_users", "Users", size)
                self.assertEqual(sorted(u["Name"] for u in users), names)
                self.assertEqual(len({u["Id"] for u in users}), len(users))
        self.assertEqual({u["Id"]: u["Name"] for u in users}, ids)
        page = self.call("list_users", MaxResults=23)
        self.assertNotIn("NextToken", page)
        for user in page["Users"]:
            self.assertEqual((user["State"], user["UserRole"]), ("DISABLED", "USER"))
        for filters, count in (
            ({"UsernamePrefix": "PAGE-01"}, 10), ({"DisplayNamePrefix": "page page-00"}, 10), ({"State": "ENABLED"}, 0),
            ({"State": "DISABLED"}, 23), ({"PrimaryEmailPrefix": "page"}, 0), ({"UsernamePrefix": "nothing"}, 0),
        ):
            with self.subTest(filters):
                self.assertEqual(len(self.pages("list_users", "Users", 4, Filters=filters)), count)
        with self.refused("InvalidParameterException"):
            self.call("list_users", Filters={"UsernamePrefix": "a", "State": "ENABLED"})

    def test_pages_stay_right_while_users_come_and_go(self):
        names = [unique("mv") for _ in range(12)]
        ids = {n: self.user(n) for n in names}
        seen, token, gone = [], None, set()
        while True:
            page = self.call("list_users", MaxResults=3, **({"NextToken": token} if token else {}))
            seen += [u["Name"] for u in page["Users"]]
            token = page.get("NextToken")
            if not token:
                break
            fresh = unique("new")
            self.user(fresh)
            if victim := next((n for n in names if n not in seen and n not in gone), None):
                self.call("delete_user", UserId=ids[victim])
                gone.add(victim)
        self.assertEqual(len(seen), len(set(seen)), "an entry came twice")
        for name in names:
            if name not in gone:
                self.assertIn(name, seen)

    def test_tokens(self):
        for _ in range(3):
            self.user()
        token = self.call("list_users", MaxResults=1)["NextToken"]
        for bad in (token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "garbage", token + "x"):
            with self.subTest(bad), self.refused("InvalidParameterException"):
                self.call("list_users", MaxResults=1, NextToken=bad)
        with self.refused("InvalidParameterException"):
            self.call("list_groups", MaxResults=1, NextToken=token)
        other = self.new_organization(unique("other-"))
        with self.refused("InvalidParameterException"):
            self.api.list_users(OrganizationId=other, MaxResults=1, NextToken=token)
