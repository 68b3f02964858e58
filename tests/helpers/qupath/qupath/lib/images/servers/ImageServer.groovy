package qupath.lib.images.servers

import qupath.lib.regions.RegionRequest

interface ImageServer<T> {
    String getPath()

    Collection<URI> getURIs()

    String getServerType()

    ImageServerMetadata getMetadata()

    ImageServerMetadata getOriginalMetadata()

    int getWidth()

    int getHeight()

    boolean isRGB()

    T readRegion(RegionRequest request) throws IOException
}
