package qupath.lib.regions

import groovy.transform.Immutable

@Immutable
class RegionRequest {
    String path
    double downsample
    int x, y, width, height, z, t

    static RegionRequest createInstance(String path, double downsample, int x, int y, int width, int height, int z, int t) {
        return new RegionRequest(path, downsample, x, y, width, height, z, t)
    }
}
