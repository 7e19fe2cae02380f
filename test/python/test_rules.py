"""Scripts of a mailbox, by managesieve, a client of ManageSieve for Python."""

import os
from unittest import mock

import managesieve

from support import PASSWORD, Case, address_of

SCRIPT = 'require "fileinto";\r\nif header :contains "subject" "\u00fc" { fileinto "Junk E-mail"; }\r\n'


class RulesTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        _, cls.ann = cls().enabled_user("ann")

    def connect(self):
        with mock.patch.dict(os.environ, SSL_CERT_FILE=os.environ["PENNYPOST_CA_FILE"]):
            m = managesieve.MANAGESIEVE(*address_of("managesieve"), use_tls=True, timeout=30)
        self.addCleanup(m.sock.sslobj.close)
        return m

    def test_in_the_clear(self):
        m = managesieve.MANAGESIEVE(*address_of("managesieve"), timeout=30)
        self.addCleanup(m.sock.close)
        self.assertTrue(m.supports_tls)
        self.assertEqual(m.loginmechs, [])
        m.loginmechs = ["PLAIN"]
        self.assertEqual(m.login("", self.ann, PASSWORD), "NO")
        self.assertEqual(m.response_code, "ENCRYPT-NEEDED")

    def test_a_wrong_password(self):
        self.assertEqual(self.connect().login("", self.ann, "wrong"), "NO")

    def test_scripts(self):
        m = self.connect()
        self.assertIn("fileinto", m.capabilities)
        self.assertEqual(m.login("", self.ann, PASSWORD), "OK")
        self.assertEqual(m.havespace("rules", len(SCRIPT)), "OK")
        self.assertEqual(m.putscript("rules", SCRIPT), "OK")
        self.assertEqual(m.setactive("rules"), "OK")
        self.assertEqual(m.listscripts(), ("OK", [("rules", True)]))
        self.assertEqual(m.getscript("rules"), ("OK", SCRIPT))
        self.assertEqual(m.putscript("rules", "fileinto;"), "NO")
        self.assertIn("line 1", str(m.response_text))
        self.assertEqual(m.deletescript("rules"), "NO")
        self.assertEqual(m.setactive(""), "OK")
        self.assertEqual(m.deletescript("rules"), "OK")
        self.assertEqual(m.listscripts(), ("OK", []))
        self.assertEqual(m.logout(), "OK")
