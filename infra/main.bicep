// Everything the 3CX integration needs in one resource group. See README.md beside this file.
targetScope = 'resourceGroup'

@description('Name of the function app, unique in Azure: it becomes a host name. The other resources are named after it. At most 32 characters, because the Functions host cuts its id there.')
@minLength(2)
@maxLength(32)
param appName string = 'cdr-${uniqueString(resourceGroup().id)}'

@description('Azure region of all resources. Must offer Flex Consumption, and be the region of the network if an existing subnet is given.')
param location string = resourceGroup().location

@description('Name of the azd environment, as a tag by which azd finds its resources again. Empty: deployed by hand.')
param environmentName string = ''

@description('Tags of every resource that can have some, name to value.')
param tags object = {}

@description('Where the calls come from: calllog (a table of calls), v20 or v18 (the tables of a 3CX), auto (whichever the database has) or xapi (the REST API of a V20, which needs none of the cdrDb parameters).')
@allowed([
  'calllog'
  'v20'
  'v18'
  'auto'
  'xapi'
])
param cdrSource string = 'calllog'

@description('Database engine of the call detail records.')
@allowed([
  'sqlserver'
  'mysql'
  'postgresql'
])
param cdrDbEngine string = 'sqlserver'

@description('Host name or address of the database server, as it is known inside the virtual network. Empty: the app gets no database at all, whatever the other cdrDb parameters say.')
param cdrDbHost string = ''

@description('TCP port of the database server.')
@minValue(1)
@maxValue(65535)
param cdrDbPort int = cdrDbEngine == 'mysql' ? 3306 : cdrDbEngine == 'postgresql' ? 5432 : 1433

@description('Name of the database that holds the call detail records.')
param cdrDbName string = ''

@description('Login for the database. It needs nothing but SELECT.')
param cdrDbUser string = ''

@description('Password of the login. Leave empty when cdrDbPasswordSecretUri is given.')
@secure()
param cdrDbPassword string = ''

@description('URI of a Key Vault secret that holds the password, for example https://my-vault.vault.azure.net/secrets/cdr-db-password. Preferred to cdrDbPassword.')
// The address of a secret is none itself.
#disable-next-line secure-secrets-in-params
param cdrDbPasswordSecretUri string = ''

@description('Name of the vault of cdrDbPasswordSecretUri, to let the app read its secrets. Empty: somebody else grants that. The vault must use role-based access.')
param keyVaultName string = ''

@description('Resource group of that vault.')
param keyVaultResourceGroup string = resourceGroup().name

@description('Address of the Call Logger up to and with /api, for example https://calls.example.com/api.')
@minLength(1)
param apiBaseUrl string

@description('IANA time zone of the business hours, for example America/Anchorage.')
param timeZone string = 'UTC'

@description('Where the very first poll starts: now, beginning, an id (rows after it) or a date such as 2026-11-01. Later polls go on where the last one ended.')
param cdrStartFrom string = 'now'

@description('More app settings, name to value: those that the configuration file takes as \${NAME}, such as the token of the API. A value may be a Key Vault reference. Never write a secret into a file that is committed.')
@secure()
param extraAppSettings object = {}

@description('Most on-demand instances for each function. An instance submits at most 16 calls at once (batchSize and newBatchThreshold in host.json), so the Call Logger sees at most 16 times this many: 16 with 1, 64 with 4, 640 with 40. With 1 a long backlog takes four times as long as with 4.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 4

@description('Storage redundancy. The only copy of the ledger is in it: Standard_ZRS survives the loss of a zone. Standard_LRS is for regions without zones, and for an account that was made with it.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
])
param storageSku string = 'Standard_ZRS'

@description('Close the storage account to the internet and reach it through private endpoints.')
param privateStorage bool = true

@description('Create and link the private DNS zones of the private endpoints. False where zones and records are kept centrally.')
param createPrivateDnsZones bool = true

@description('Resource id of an existing subnet for the app, delegated to Microsoft.App/environments and used by nothing else. Empty: a virtual network is created.')
param existingAppSubnetId string = ''

@description('Resource id of an existing subnet for the private endpoints. Needed when existingAppSubnetId is given and privateStorage is true.')
param existingEndpointSubnetId string = ''

@description('Address space of the created virtual network, /25 or larger. Must not overlap with the network of the phone system.')
param vnetAddressPrefix string = '10.80.0.0/24'

@description('DNS servers of the created virtual network, for names of the phone system network. Empty: those of Azure.')
param dnsServers string[] = []

@description('Give the created virtual network a NAT gateway, so that all outgoing traffic comes from one public address that a firewall can allow.')
param fixedOutboundAddress bool = false

@description('Most GB of logs a day. Beyond it nothing is logged until the next day, and no alert can see anything, but the one that says so.')
@minValue(1)
param dailyLogCapGb int = 1

@description('Address that alerts are sent to.')
@minLength(3)
param alertEmail string

@description('Where docs/runbook.md can be read, for the links in the mails: a whole address, for example https://git.example.com/cdr/docs/runbook.md.')
@minLength(12)
param runbookUrl string

@description('Look at /health from three places of the internet every five minutes. False where the app is closed to the internet.')
param testHealth bool = true

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${appName}-identity'
  location: location
  tags: allTags
}

// Names that a module gives to its resources are made here: what-if cannot look into a module that is given one which
// is only known once something else was deployed.
var storageAccountName = 'cdr${uniqueString(resourceGroup().id, appName)}'
var workspaceName = '${appName}-logs'
var applicationInsightsName = '${appName}-insights'

var allTags = union(tags, empty(environmentName) ? {} : { 'azd-env-name': environmentName })

var databaseSettings = {
  CDR_DB_ENGINE: cdrDbEngine
  CDR_DB_HOST: cdrDbHost
  CDR_DB_PORT: string(cdrDbPort)
  CDR_DB_NAME: cdrDbName
  CDR_DB_USER: cdrDbUser
  CDR_DB_PASSWORD: empty(cdrDbPasswordSecretUri) ? cdrDbPassword : '@Microsoft.KeyVault(SecretUri=${cdrDbPasswordSecretUri})'
}

module network 'network.bicep' = if (empty(existingAppSubnetId)) {
  name: 'network'
  params: {
    appName: appName
    location: location
    addressPrefix: vnetAddressPrefix
    dnsServers: dnsServers
    tags: allTags
    fixedOutboundAddress: fixedOutboundAddress
  }
}

var appSubnetId = empty(existingAppSubnetId) ? network!.outputs.appSubnetId : existingAppSubnetId

module storage 'storage.bicep' = {
  name: 'storage'
  params: {
    location: location
    accountName: storageAccountName
    sku: storageSku
    publicAccess: !privateStorage
    identityName: identity.name
    tags: allTags
  }
}

module endpoints 'endpoints.bicep' = if (privateStorage) {
  name: 'endpoints'
  params: {
    appName: appName
    location: location
    storageAccountId: storage.outputs.accountId
    appSubnetId: appSubnetId
    endpointSubnetId: empty(existingAppSubnetId) ? network!.outputs.endpointSubnetId : existingEndpointSubnetId
    createDnsZones: createPrivateDnsZones
    tags: allTags
  }
}

module monitoring 'monitoring.bicep' = {
  name: 'monitoring'
  params: {
    appName: appName
    location: location
    workspaceName: workspaceName
    applicationInsightsName: applicationInsightsName
    dailyCapGb: dailyLogCapGb
    identityName: identity.name
    alertEmail: alertEmail
    tags: allTags
  }
}

module logCap 'log-cap.bicep' = {
  name: 'log-cap'
  params: {
    appName: appName
    location: location
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: monitoring.outputs.actionGroupId
    dailyCapGb: dailyLogCapGb
    runbookUrl: runbookUrl
    tags: allTags
  }
}

module vaultAccess 'vault.bicep' = if (!empty(keyVaultName)) {
  name: 'vault-access-${appName}'
  scope: resourceGroup(keyVaultResourceGroup)
  params: {
    vaultName: keyVaultName
    identityName: identity.name
    identityResourceGroup: resourceGroup().name
  }
}

module app 'app.bicep' = {
  name: 'app'
  params: {
    appName: appName
    location: location
    identityName: identity.name
    storageAccountName: storageAccountName
    deploymentContainer: storage.outputs.deploymentContainer
    applicationInsightsName: applicationInsightsName
    subnetId: appSubnetId
    maximumInstanceCount: maximumInstanceCount
    integrationSettings: union(
      {
        CDR_SOURCE: cdrSource
        CDR_START_FROM: cdrStartFrom
        API_BASE_URL: apiBaseUrl
        TIMEZONE: timeZone
      },
      empty(cdrDbHost) ? {} : databaseSettings,
      extraAppSettings
    )
    tags: allTags
  }
  // The app reads storage and vault as soon as it exists. Its roles come with the storage and monitoring modules.
  dependsOn: [
    monitoring
    endpoints
    vaultAccess
  ]
}

module alerts 'alerts.bicep' = {
  name: 'alerts'
  params: {
    appName: appName
    location: location
    applicationInsightsName: applicationInsightsName
    actionGroupId: monitoring.outputs.actionGroupId
    testHealth: testHealth
    healthUrl: 'https://${app.outputs.hostName}/health'
    runbookUrl: runbookUrl
    tags: allTags
  }
}

@description('Name of the function app, for func azure functionapp publish.')
output functionAppName string = app.outputs.name

@description('Where the function app answers; /health needs no key.')
output functionAppUrl string = 'https://${app.outputs.hostName}'

@description('Client id of the identity, for example to allow it in front of the Call Logger.')
output identityClientId string = identity.properties.clientId

@description('Storage account with queues, tables and the deployment package.')
output storageAccountName string = storageAccountName

@description('Application Insights component, for queries.')
output applicationInsightsName string = applicationInsightsName

@description('Subnet from which the app reaches the database and the Call Logger.')
output appSubnetId string = appSubnetId

@description('The one outgoing address, if it was asked for.')
output outboundAddress string = empty(existingAppSubnetId) ? network!.outputs.outboundAddress : ''

@description('Name of the function app, as azd and its hooks read it.')
output SERVICE_FUNCTIONS_NAME string = app.outputs.name

@description('Where the function app answers, as azd and its hooks read it.')
output SERVICE_FUNCTIONS_URI string = 'https://${app.outputs.hostName}'
