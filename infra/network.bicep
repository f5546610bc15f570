// The virtual network through which the app reaches the database of the phone system. Connecting it there (VPN gateway,
// ExpressRoute or peering) is up to its owner. Subnets are resources of their own, and the network does not list them: a
// gateway subnet or a peering that is added later survives the next deployment.

@description('Name of the function app; the resources are named after it.')
param appName string

@description('Azure region.')
param location string

@description('Address space of the network, /25 or larger.')
param addressPrefix string

@description('DNS servers of the network. Empty: those of Azure.')
param dnsServers string[]

@description('Send all outgoing traffic through a NAT gateway with one public address.')
param fixedOutboundAddress bool

@description('Tags of the resources.')
param tags object

resource outboundIp 'Microsoft.Network/publicIPAddresses@2025-09-01' = if (fixedOutboundAddress) {
  name: '${appName}-outbound'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource natGateway 'Microsoft.Network/natGateways@2025-09-01' = if (fixedOutboundAddress) {
  name: '${appName}-nat'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIpAddresses: [
      {
        id: outboundIp.id
      }
    ]
  }
}

resource vnet 'Microsoft.Network/virtualNetworks@2025-09-01' = {
  name: '${appName}-vnet'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    dhcpOptions: {
      dnsServers: dnsServers
    }
  }
}

// Flex Consumption advises /27 or larger, and refuses a subnet with an underscore in its name.
resource appSubnet 'Microsoft.Network/virtualNetworks/subnets@2025-09-01' = {
  parent: vnet
  name: 'app'
  properties: {
    addressPrefix: cidrSubnet(addressPrefix, 26, 0)
    natGateway: fixedOutboundAddress ? { id: natGateway.id } : null
    delegations: [
      {
        name: 'flex-consumption'
        properties: {
          serviceName: 'Microsoft.App/environments'
        }
      }
    ]
  }
}

resource endpointSubnet 'Microsoft.Network/virtualNetworks/subnets@2025-09-01' = {
  parent: vnet
  name: 'endpoints'
  properties: {
    addressPrefix: cidrSubnet(addressPrefix, 26, 1)
  }
  // A network takes one change at a time.
  dependsOn: [
    appSubnet
  ]
}

@description('Subnet of the app.')
output appSubnetId string = appSubnet.id

@description('Subnet of the private endpoints.')
output endpointSubnetId string = endpointSubnet.id

@description('The one outgoing address, if it was asked for.')
output outboundAddress string = fixedOutboundAddress ? outboundIp!.properties.ipAddress : ''
