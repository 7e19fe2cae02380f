import os
import uuid

import boto3
import botocore.exceptions

from support import Case, client, unique, wait_for


class OrganizationsTest(Case):
    def test_describe(self):
        out = self.call("describe_organization")
        self.assertRegex(self.org, r"\Am-[0-9a-f]{32}\Z")
        self.assertEqual(out["ARN"], f"arn:aws:workmail:us-east-1:000000000000:organization/{self.org}")
        self.assertEqual((out["Alias"], out["State"], out["DefaultMailDomain"]), (self.alias, "Active", self.domain))
        self.assertIs(out["InteroperabilityEnabled"], False)
        self.assertIn("CompletedDate", out)
        self.assertRegex(out["DirectoryId"], r"\Ad-[0-9a-f]{10}\Z")

    def test_list(self):
        found = [o for page in self.api.get_paginator("list_organizations").paginate(PaginationConfig={"PageSize": 1})
                 for o in page["OrganizationSummaries"] if o["OrganizationId"] == self.org]
        self.assertEqual(found, [{"OrganizationId": self.org, "Alias": self.alias, "DefaultMailDomain": self.domain, "State": "Active"}])

    def test_alias_is_unique(self):
        for alias in (self.alias, self.alias.upper()):
            with self.subTest(alias), self.refused("NameAvailabilityException", alias):
                self.api.create_organization(Alias=alias)

    def test_alias_at_its_limits(self):
        for alias in ("d-directory", "a" * 63, "-a", "a-", "a--b", "a.b", "ä", "a\n"):
            with self.subTest(alias), self.refused("InvalidParameterException", "'alias'"):
                self.api.create_organization(Alias=alias)
        self.new_organization("a" * 62)

    def test_client_token(self):
        token, alias = str(uuid.uuid4()), unique("idem-")
        first = self.api.create_organization(Alias=alias, ClientToken=token)["OrganizationId"]
        self.assertEqual(self.api.create_organization(Alias=alias, ClientToken=token)["OrganizationId"], first)
        with self.refused("InvalidParameterException"):
            self.api.create_organization(Alias=unique("idem-"), ClientToken=token)

    def test_domains(self):
        org = self.api.create_organization(Alias=unique("doms-"), Domains=[{"DomainName": "one.example.org"}])["OrganizationId"]
        wait_for(lambda: self.api.describe_organization(OrganizationId=org)["State"] == "Active")
        domains = {d["DomainName"] for d in self.api.list_mail_domains(OrganizationId=org)["MailDomains"]}
        self.assertIn("one.example.org", domains)

    def test_refused_requests(self):
        with self.refused("InvalidParameterException"):
            self.api.create_organization(Alias=unique("inter-"), EnableInteroperability=True)
        with self.refused("DirectoryUnavailableException"):
            self.api.create_organization(Alias=unique("dir-"), DirectoryId="d-0123456789")

    def test_delete(self):
        org = self.new_organization(unique("del-"))
        user = self.api.create_user(OrganizationId=org, Name="u", DisplayName="u")["UserId"]
        alias = self.api.describe_organization(OrganizationId=org)["Alias"]
        self.api.register_to_work_mail(OrganizationId=org, EntityId=user, Email=f"u@{alias}.awsapps.com")
        with self.refused("OrganizationStateException"):
            self.api.delete_organization(OrganizationId=org, DeleteDirectory=True)
        out = self.api.delete_organization(OrganizationId=org, DeleteDirectory=True, ForceDelete=True, DeleteIdentityCenterApplication=True)
        self.assertEqual((out["OrganizationId"], out["State"]), (org, "Deleting"))
        wait_for(lambda: self.api.describe_organization(OrganizationId=org)["State"] == "Deleted")
        with self.refused("OrganizationStateException"):
            self.api.delete_organization(OrganizationId=org, DeleteDirectory=True)
        with self.refused("OrganizationStateException"):
            self.api.describe_user(OrganizationId=org, UserId=user)
        listed = [o["OrganizationId"] for page in self.api.get_paginator("list_organizations").paginate() for o in page["OrganizationSummaries"]]
        self.assertNotIn(org, listed)

    def test_tags(self):
        arn = self.call("describe_organization")["ARN"]
        self.api.tag_resource(ResourceARN=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
        self.api.tag_resource(ResourceARN=arn, Tags=[{"Key": "a", "Value": "2"}])
        self.api.untag_resource(ResourceARN=arn, TagKeys=["b", "never"])
        self.assertEqual(self.api.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "a", "Value": "2"}])
        with self.refused("TooManyTagsException"):
            self.api.tag_resource(ResourceARN=arn, Tags=[{"Key": f"k{i}", "Value": ""} for i in range(50)])
        with self.refused("InvalidParameterException"):
            self.api.tag_resource(ResourceARN=arn, Tags=[{"Key": "aws:x", "Value": ""}])
        with self.refused("ResourceNotFoundException"):
            self.api.list_tags_for_resource(ResourceARN=arn[:-3] + "000")

    def test_https(self):
        api = client(endpoint_url="https://" + os.environ["PENNYPOST_HTTPS_ADDR"], verify=os.environ["PENNYPOST_CA_FILE"])
        self.assertEqual(api.describe_organization(OrganizationId=self.org)["Alias"], self.alias)
        wrong = client(endpoint_url="https://" + os.environ["PENNYPOST_HTTPS_ADDR"])
        with self.assertRaises(botocore.exceptions.SSLError):
            wrong.list_organizations()

    def test_who_calls(self):
        sts = boto3.client("sts", endpoint_url=os.environ["AWS_ENDPOINT_URL_WORKMAIL"])
        self.assertEqual(sts.get_caller_identity()["Account"], "000000000000")

    def test_wrong_signatures(self):
        for key, secret, code in ((os.environ["AWS_ACCESS_KEY_ID"], "wrong", "InvalidSignatureException"),
                                  ("AKIAAAAAAAAAAAAAAAAA", "wrong", "UnrecognizedClientException")):
            with self.subTest(code), self.refused(code):
                client(aws_access_key_id=key, aws_secret_access_key=secret).list_organizations()
