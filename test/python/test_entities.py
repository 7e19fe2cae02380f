from support import Case, unique


class GroupsTest(Case):
    def test_life(self):
        group = self.call("create_group", Name="Sales & Co", HiddenFromGlobalAddressList=True)["GroupId"]
        out = self.call("describe_group", GroupId=group)
        self.assertEqual(out, {"GroupId": group, "Name": "Sales & Co", "State": "DISABLED", "HiddenFromGlobalAddressList": True})
        self.call("register_to_work_mail", EntityId=group, Email=f"sales@{self.domain}")
        self.call("update_group", GroupId=group, HiddenFromGlobalAddressList=False)
        out = self.call("describe_group", GroupId=f"sales@{self.domain}")
        self.assertEqual((out["State"], out["Email"], out["HiddenFromGlobalAddressList"]), ("ENABLED", f"sales@{self.domain}", False))
        listed = self.pages("list_groups", "Groups", 1)
        self.assertIn(group, [g["Id"] for g in listed])
        with self.refused("EntityStateException"):
            self.call("delete_group", GroupId=group)
        self.call("deregister_from_work_mail", EntityId=group)
        self.call("delete_group", GroupId=group)
        self.call("delete_group", GroupId=group)

    def test_members(self):
        outer, inner = (self.call("create_group", Name=unique("g"))["GroupId"] for _ in range(2))
        user, _ = self.enabled_user()
        for member in (user, inner):
            for _ in range(2):  # a repeat changes nothing
                self.call("associate_member_to_group", GroupId=outer, MemberId=member)
        members = {m["Id"]: m["Type"] for m in self.pages("list_group_members", "Members", 1, GroupId=outer)}
        self.assertEqual(members, {user: "USER", inner: "GROUP"})
        groups = self.call("list_groups_for_entity", EntityId=user)["Groups"]
        self.assertEqual([g["GroupId"] for g in groups], [outer])
        for member in (outer,):
            with self.subTest("a cycle"), self.refused("InvalidParameterException"):
                self.call("associate_member_to_group", GroupId=inner, MemberId=member)
        with self.subTest("itself"), self.refused("InvalidParameterException"):
            self.call("associate_member_to_group", GroupId=outer, MemberId=outer)
        self.call("disassociate_member_from_group", GroupId=outer, MemberId=inner)
        self.assertEqual([m["Id"] for m in self.call("list_group_members", GroupId=outer)["Members"]], [user])
        with self.refused("EntityNotFoundException"):
            self.call("associate_member_to_group", GroupId=outer, MemberId="nobody-here")


class ResourcesTest(Case):
    def test_life(self):
        resource = self.call("create_resource", Name="room-1", Type="ROOM", Description="A room")["ResourceId"]
        self.assertRegex(resource, r"\Ar-[0-9a-f]{32}\Z")
        out = self.call("describe_resource", ResourceId=resource)
        self.assertEqual(out, {
            "ResourceId": resource, "Name": "room-1", "Type": "ROOM", "State": "DISABLED", "Description": "A room",
            "HiddenFromGlobalAddressList": False, "BookingOptions": {
                "AutoAcceptRequests": True, "AutoDeclineRecurringRequests": False, "AutoDeclineConflictingRequests": True},
        })
        with self.refused("InvalidConfigurationException"):
            self.call("update_resource", ResourceId=resource, BookingOptions={"AutoAcceptRequests": False})
        delegate = self.user()
        self.call("associate_delegate_to_resource", ResourceId=resource, EntityId=delegate)
        self.assertEqual(self.call("list_resource_delegates", ResourceId=resource)["Delegates"], [{"Id": delegate, "Type": "USER"}])
        self.call("update_resource", ResourceId=resource, Name="room-2", Description="", Type="EQUIPMENT",
                  BookingOptions={"AutoAcceptRequests": False}, HiddenFromGlobalAddressList=True)
        out = self.call("describe_resource", ResourceId="room-2")
        self.assertFalse(out.get("Description"))
        self.assertEqual((out["Type"], out["HiddenFromGlobalAddressList"]), ("EQUIPMENT", True))
        with self.refused("EntityStateException"):
            self.call("disassociate_delegate_from_resource", ResourceId=resource, EntityId=delegate)
        self.call("register_to_work_mail", EntityId=resource, Email=f"room@{self.domain}")
        self.assertEqual(self.pages("list_resources", "Resources", 1)[0]["Email"], f"room@{self.domain}")
        with self.refused("EntityStateException"):
            self.call("delete_resource", ResourceId=resource)
        self.call("deregister_from_work_mail", EntityId=resource)
        self.call("delete_resource", ResourceId=resource)


class AddressesTest(Case):
    def test_aliases(self):
        user, address = self.enabled_user("primary")
        alias = f"alias@{self.domain}"
        self.call("create_alias", EntityId=user, Alias=alias)
        self.call("create_alias", EntityId=user, Alias=alias)
        self.assertEqual(sorted(self.pages("list_aliases", "Aliases", 1, EntityId=user)), sorted([address, alias]))
        other, _ = self.enabled_user()
        with self.refused("EmailAddressInUseException", alias.upper()):
            self.call("create_alias", EntityId=other, Alias=alias.upper())
        self.call("update_primary_email_address", EntityId=user, Email=alias)
        self.assertEqual(self.call("describe_user", UserId=user)["Email"], alias)
        self.assertEqual(sorted(self.call("list_aliases", EntityId=user)["Aliases"]), sorted([address, alias]))
        for known in (alias, address):
            out = self.call("describe_entity", Email=known)
            self.assertEqual(out, {"EntityId": user, "Name": "primary", "Type": "USER"})
        with self.refused("InvalidParameterException"):
            self.call("delete_alias", EntityId=user, Alias=alias)
        self.call("delete_alias", EntityId=user, Alias=address)
        self.call("delete_alias", EntityId=user, Alias=address)
        with self.refused("EntityNotFoundException"):
            self.call("describe_entity", Email=address)
        with self.refused("EntityStateException"):
            self.call("create_alias", EntityId=self.user(), Alias=f"new@{self.domain}")
        with self.refused("MailDomainNotFoundException"):
            self.call("create_alias", EntityId=user, Alias="x@elsewhere.example.com")

    def test_limit(self):
        user, _ = self.enabled_user()
        for i in range(100):
            self.call("create_alias", EntityId=user, Alias=f"many-{i}@{self.domain}")
        with self.refused("LimitExceededException", "100"):
            self.call("create_alias", EntityId=user, Alias=f"many-100@{self.domain}")


class DomainsTest(Case):
    def test_life(self):
        domain = "life.example.net"
        self.call("register_mail_domain", DomainName=domain)
        out = self.call("get_mail_domain", DomainName=domain)
        self.assertEqual((out["IsTestDomain"], out["IsDefault"], out["OwnershipVerificationStatus"], out["DkimVerificationStatus"]),
                         (False, False, "PENDING", "PENDING"))
        self.assertEqual({r["Type"] for r in out["Records"]}, {"TXT", "MX", "CNAME"})
        self.assertEqual(len([r for r in out["Records"] if "._domainkey." in r["Hostname"]]), 4)
        self.assertEqual(self.call("get_mail_domain", DomainName=domain)["Records"], out["Records"])
        for record in out["Records"]:
            self.assertTrue(record["Hostname"].endswith(domain) and record["Value"], record)
        with self.refused("MailDomainStateException"):
            self.call("update_default_mail_domain", DomainName=domain)
        test = self.call("get_mail_domain", DomainName=self.domain)
        self.assertEqual((test["IsTestDomain"], test["IsDefault"], test["OwnershipVerificationStatus"]), (True, True, "VERIFIED"))
        listed = {d["DomainName"]: d["DefaultDomain"] for d in self.call("list_mail_domains")["MailDomains"]}
        self.assertEqual(listed[self.domain], True)
        self.assertEqual(listed[domain], False)
        self.call("deregister_mail_domain", DomainName=domain)
        with self.refused("MailDomainNotFoundException"):
            self.call("get_mail_domain", DomainName=domain)
        self.call("deregister_mail_domain", DomainName=domain)
        with self.refused("MailDomainInUseException"):
            self.call("deregister_mail_domain", DomainName=self.domain)

    def test_pending_domains_may_coexist(self):
        other = self.new_organization(unique("co-"))
        self.call("register_mail_domain", DomainName="shared.example.net")
        self.api.register_mail_domain(OrganizationId=other, DomainName="shared.example.net")
        proofs = {org: next(r["Value"] for r in self.api.get_mail_domain(OrganizationId=org, DomainName="shared.example.net")["Records"]
                            if r["Type"] == "TXT" and r["Hostname"].startswith("_"))
                  for org in (self.org, other)}
        self.assertNotEqual(proofs[self.org], proofs[other])


class PermissionsTest(Case):
    def test_life(self):
        owner, _ = self.enabled_user()
        grantee, _ = self.enabled_user()
        self.call("put_mailbox_permissions", EntityId=owner, GranteeId=grantee, PermissionValues=["FULL_ACCESS", "SEND_AS"])
        self.call("put_mailbox_permissions", EntityId=owner, GranteeId=grantee, PermissionValues=["SEND_ON_BEHALF"])
        self.assertEqual(self.pages("list_mailbox_permissions", "Permissions", 1, EntityId=owner),
                         [{"GranteeId": grantee, "GranteeType": "USER", "PermissionValues": ["SEND_ON_BEHALF"]}])
        with self.refused("InvalidParameterException"):
            self.call("put_mailbox_permissions", EntityId=owner, GranteeId=owner, PermissionValues=["SEND_AS"])
        with self.refused("InvalidParameterException", "enum value set"):
            self.call("put_mailbox_permissions", EntityId=owner, GranteeId=grantee, PermissionValues=["EVERYTHING"])
        self.call("delete_mailbox_permissions", EntityId=owner, GranteeId=grantee)
        self.call("delete_mailbox_permissions", EntityId=owner, GranteeId=grantee)
        self.assertEqual(self.call("list_mailbox_permissions", EntityId=owner)["Permissions"], [])
