package awsapi

import (
	"context"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

func (a *API) userHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateUser.Handle(a.createUser),
		contract.DeleteUser.Handle(a.deleteUser),
		contract.DescribeUser.Handle(a.describeUser),
		contract.ListUsers.Handle(a.listUsers),
		contract.UpdateUser.Handle(a.updateUser),
		contract.ResetPassword.Handle(a.resetPassword),
	}
}

func (a *API) createUser(ctx context.Context, p principal.Principal, in *contract.CreateUserInput) (*contract.CreateUserOutput, error) {
	role, err := directory.ParseRole(string(in.Role))
	if err != nil {
		return nil, a.Directory.GateFirst(ctx, directory.OrgID(in.OrganizationId), err)
	}
	id, err := a.Directory.CreateUser(ctx, p, directory.OrgID(in.OrganizationId), directory.NewUser{
		Name: in.Name, DisplayName: in.DisplayName, Password: in.Password, Role: role, FirstName: text(in.FirstName),
		LastName: text(in.LastName), Hidden: in.HiddenFromGlobalAddressList, IdentityProviderUserID: text(in.IdentityProviderUserId),
	})
	if err != nil {
		return nil, err
	}
	return &contract.CreateUserOutput{UserId: always(id)}, nil
}

func (a *API) deleteUser(ctx context.Context, p principal.Principal, in *contract.DeleteUserInput) (*contract.DeleteUserOutput, error) {
	return &contract.DeleteUserOutput{}, a.Organizations.DeleteUser(ctx, p, directory.OrgID(in.OrganizationId), in.UserId)
}

func (a *API) describeUser(ctx context.Context, p principal.Principal, in *contract.DescribeUserInput) (*contract.DescribeUserOutput, error) {
	u, err := a.Directory.DescribeUser(ctx, p, directory.OrgID(in.OrganizationId), in.UserId)
	if err != nil {
		return nil, err
	}
	return &contract.DescribeUserOutput{
		UserId: always(u.ID), Name: some(u.Name), Email: some(u.Email), DisplayName: always(u.DisplayName), State: stateOf(u.State),
		UserRole: contract.UserRole(u.Role.String()), EnabledDate: when(u.Enabled), DisabledDate: when(u.Disabled),
		MailboxProvisionedDate: when(u.MailboxProvisioned), MailboxDeprovisionedDate: when(u.MailboxDeprovisioned),
		FirstName: some(u.FirstName), LastName: some(u.LastName), HiddenFromGlobalAddressList: u.Hidden, Initials: some(u.Initials),
		Telephone: some(u.Telephone), Street: some(u.Street), JobTitle: some(u.JobTitle), City: some(u.City), Company: some(u.Company),
		ZipCode: some(u.ZipCode), Department: some(u.Department), Country: some(u.Country), Office: some(u.Office),
		IdentityProviderUserId: some(u.IdentityProviderUserID), IdentityProviderIdentityStoreId: some(u.IdentityProviderStoreID),
	}, nil
}

func (a *API) listUsers(ctx context.Context, p principal.Principal, in *contract.ListUsersInput) (*contract.ListUsersOutput, error) {
	page, err := a.page(ctx, &contract.ListUsers.Op, in)
	if err != nil {
		return nil, err
	}
	var filter directory.UserFilter
	if f := in.Filters; f != nil {
		filter = directory.UserFilter{
			NamePrefix: text(f.UsernamePrefix), DisplayNamePrefix: text(f.DisplayNamePrefix), EmailPrefix: text(f.PrimaryEmailPrefix),
			IdentityProviderUserIDPrefix: text(f.IdentityProviderUserIdPrefix),
		}
		if filter.State, err = stateFilter(f.State); err != nil {
			return nil, err
		}
	}
	users, next, err := a.Directory.ListUsers(ctx, p, directory.OrgID(in.OrganizationId), filter, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListUsersOutput{Users: each(users, userItem), NextToken: page.token(next)}, nil
}

func userItem(u *directory.Entity) contract.User {
	return contract.User{
		Id: always(u.ID), Email: some(u.Email), Name: some(u.Name), DisplayName: always(u.DisplayName), State: stateOf(u.State),
		UserRole: contract.UserRole(u.Role.String()), EnabledDate: when(u.Enabled), DisabledDate: when(u.Disabled),
		IdentityProviderUserId: some(u.IdentityProviderUserID), IdentityProviderIdentityStoreId: some(u.IdentityProviderStoreID),
	}
}

func (a *API) updateUser(ctx context.Context, p principal.Principal, in *contract.UpdateUserInput) (*contract.UpdateUserOutput, error) {
	change := directory.UserChange{
		DisplayName: in.DisplayName, FirstName: in.FirstName, LastName: in.LastName, Hidden: in.HiddenFromGlobalAddressList,
		Initials: in.Initials, Telephone: in.Telephone, Street: in.Street, JobTitle: in.JobTitle, City: in.City, Company: in.Company,
		ZipCode: in.ZipCode, Department: in.Department, Country: in.Country, Office: in.Office,
		IdentityProviderUserID: in.IdentityProviderUserId,
	}
	if in.Role != "" {
		role, err := directory.ParseRole(string(in.Role))
		if err != nil {
			return nil, a.Directory.GateFirst(ctx, directory.OrgID(in.OrganizationId), err)
		}
		change.Role = &role
	}
	return &contract.UpdateUserOutput{}, a.Directory.UpdateUser(ctx, p, directory.OrgID(in.OrganizationId), in.UserId, change)
}

func (a *API) resetPassword(ctx context.Context, p principal.Principal, in *contract.ResetPasswordInput) (*contract.ResetPasswordOutput, error) {
	return &contract.ResetPasswordOutput{}, a.Organizations.ResetPassword(
		ctx, p, directory.OrgID(in.OrganizationId), directory.EntityID(in.UserId), in.Password)
}
