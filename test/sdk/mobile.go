package sdk

// mobileSteps are about rules and overrides for mobile devices.
func mobileSteps() []step {
	conditions := object{
		"DeviceTypes": list{"iPhone"}, "NotDeviceTypes": list{"iPad"}, "DeviceModels": list{"iPhone10"}, "NotDeviceModels": list{"iPhone11"},
		"DeviceOperatingSystems": list{"iOS 12"}, "NotDeviceOperatingSystems": list{"Android"},
		"DeviceUserAgents": list{"iOS/", "$NONE"}, "NotDeviceUserAgents": list{"Outlook"},
	}
	with := func(o object) object {
		for k, v := range conditions {
			o[k] = v
		}
		return o
	}
	device := inOrg(object{
		"DeviceType": "IPHONE", "DeviceModel": "iPhone10C1", "DeviceOperatingSystem": "ios 12.3.1 16F203", "DeviceUserAgent": "iOS/14.2 (18B92) exchangesyncd/1.0",
	})
	first := object{"MobileDeviceAccessRuleId": "~.", "Name": "default", "Effect": "ALLOW", "Description": "Default WorkMail Rule", "DateCreated": now, "DateModified": now}
	rule := with(object{
		"MobileDeviceAccessRuleId": "{rule}", "Name": "Old phones", "Description": "Not these", "Effect": "DENY", "DateCreated": now, "DateModified": now,
	})
	put := inOrg(object{"UserId": "a@{alias}.awsapps.com", "DeviceId": "6APMEKPHCP2ND42VIJ4BR8ECDO", "Effect": "DENY", "Description": "Lost"})
	override := object{
		"UserId": "{ann}", "DeviceId": "6APMEKPHCP2ND42VIJ4BR8ECDO", "Effect": "DENY", "Description": "Lost", "DateCreated": now, "DateModified": now,
	}
	return []step{
		{
			call: "CreateMobileDeviceAccessRule", in: with(inOrg(object{"Name": "Old phones", "Description": "Not these", "Effect": "DENY", "ClientToken": "{alias}"})),
			out: object{"MobileDeviceAccessRuleId": "~."}, save: map[string]string{"rule": "MobileDeviceAccessRuleId"},
		},
		{
			call: "CreateMobileDeviceAccessRule", in: inOrg(object{"Name": "Other", "Effect": "DENY", "ClientToken": "{alias}"}),
			fails: "InvalidParameterException",
		},
		{call: "ListMobileDeviceAccessRules", in: inOrg(nil), out: object{"Rules": list{first, rule}}},
		{
			call: "GetMobileDeviceAccessEffect", in: device,
			out: object{"Effect": "DENY", "MatchedRules": list{object{"MobileDeviceAccessRuleId": "{rule}", "Name": "Old phones"}}},
		},
		{call: "UpdateMobileDeviceAccessRule", in: inOrg(object{"MobileDeviceAccessRuleId": "{rule}", "Name": "No phones", "Effect": "ALLOW"}), out: done},
		{call: "UpdateMobileDeviceAccessRule", in: inOrg(object{"MobileDeviceAccessRuleId": "none", "Name": "x", "Effect": "ALLOW"}), fails: "EntityNotFoundException"},
		{
			call: "GetMobileDeviceAccessEffect", in: inOrg(nil),
			out: object{"Effect": "ALLOW", "MatchedRules": list{anything, object{"MobileDeviceAccessRuleId": "{rule}", "Name": "No phones"}}},
		},
		{call: "DeleteMobileDeviceAccessRule", in: inOrg(object{"MobileDeviceAccessRuleId": "{rule}"}), out: done},
		{call: "DeleteMobileDeviceAccessRule", in: inOrg(object{"MobileDeviceAccessRuleId": "{rule}"}), out: done},
		{call: "PutMobileDeviceAccessOverride", in: put, out: done},
		{call: "GetMobileDeviceAccessOverride", in: inOrg(object{"UserId": "ann", "DeviceId": "6apmekphcp2nd42vij4br8ecdo"}), out: override},
		{call: "GetMobileDeviceAccessOverride", in: inOrg(object{"UserId": "ann", "DeviceId": "other"}), fails: "ResourceNotFoundException"},
		{call: "GetMobileDeviceAccessOverride", in: inOrg(object{"UserId": "nobody-here", "DeviceId": "other"}), fails: "EntityNotFoundException"},
		{call: "ListMobileDeviceAccessOverrides", in: inOrg(object{"UserId": "{ann}"}), out: object{"Overrides": list{override}}},
		{call: "ListMobileDeviceAccessOverrides", in: inOrg(object{"DeviceId": "other"}), out: object{"Overrides": list{}}},
		{call: "DeleteMobileDeviceAccessOverride", in: inOrg(object{"UserId": "{ann}", "DeviceId": "6apmekphcp2nd42vij4br8ecdo"}), out: done},
		{call: "DeleteMobileDeviceAccessOverride", in: inOrg(object{"UserId": "{ann}", "DeviceId": "6apmekphcp2nd42vij4br8ecdo"}), out: done},
		{call: "ListMobileDeviceAccessOverrides", in: inOrg(nil), out: object{"Overrides": list{}}},
	}
}
